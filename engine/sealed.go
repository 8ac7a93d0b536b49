package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// maxSealed is the largest file that is decrypted, in bytes; no object can be larger either.
const maxSealed = 5 * mebibyte

// Formats that SOPS encrypts.
const (
	formatYAML   = "yaml"
	formatJSON   = "json"
	formatDotenv = "dotenv"
	formatINI    = "ini"
	formatBinary = "binary" // anything: the text is the value of `data` in a JSON envelope
)

// Sealed is a file encrypted with SOPS.
type Sealed struct {
	Path   string `json:"path,omitempty"`
	Format string `json:"format"`
	Text   []byte `json:"text"`
	Patch  bool   `json:"patch,omitempty"` // its content may end up in any object, not only in generated Secrets
}

// marks tell an encrypted text of each format from a plain one.
var marks = map[string]*regexp.Regexp{
	formatYAML:   regexp.MustCompile(`\bmac["']?:\s+["']?ENC\[`),
	formatJSON:   regexp.MustCompile(`"mac":\s*"ENC\[`),
	formatDotenv: regexp.MustCompile(`(?m)^sops_mac=["']?ENC\[`),
	formatINI:    regexp.MustCompile(`(?m)^\[sops\]`),
}

func isSealed(text []byte, format string) bool {
	if format == formatBinary {
		format = formatJSON
	}
	return bytes.Contains(text, []byte("ENC[")) && marks[format].Match(text)
}

// detectFormat is the format that a text is encrypted in, "" when it is not.
func detectFormat(text []byte) string {
	for _, format := range []string{formatJSON, formatDotenv, formatINI, formatYAML} {
		if isSealed(text, format) {
			return format
		}
	}
	return ""
}

// formatFor is the format that a name's ending stands for.
func formatFor(name, otherwise string) string {
	switch {
	case strings.HasSuffix(name, ".yaml"), strings.HasSuffix(name, ".yml"):
		return formatYAML
	case strings.HasSuffix(name, ".json"), strings.HasSuffix(name, ".dockerconfigjson"):
		return formatJSON
	case strings.HasSuffix(name, ".env"):
		return formatDotenv
	case strings.HasSuffix(name, ".ini"):
		return formatINI
	}
	return otherwise
}

// sealedFiles finds the encrypted files that kustomize itself must read in plain form: those of Secret generators and
// of patches, in every kustomization below dir.
func (v *View) sealedFiles(dir string) ([]Sealed, error) {
	walk := &sealedWalk{view: v, seen: map[string]bool{}}
	if err := walk.directory(dir); err != nil {
		return nil, err
	}
	return walk.found, nil
}

type sealedWalk struct {
	view  *View
	seen  map[string]bool
	found []Sealed
}

func (w *sealedWalk) directory(dir string) error {
	if w.seen[dir] || !w.view.tree.isDir(dir) {
		return nil
	}
	w.seen[dir] = true
	k := w.view.kustomization(dir)
	if k == nil {
		return nil
	}
	for _, generator := range k.SecretGenerator {
		for _, source := range generator.FileSources {
			key, file, found := strings.Cut(source, "=")
			if !found {
				file = key
			}
			if err := w.file(dir, file, formatFor(key, formatBinary)); err != nil {
				return err
			}
		}
		for _, file := range append(slices.Clone(generator.EnvSources), generator.EnvSource) {
			if err := w.file(dir, file, formatFor(file, formatDotenv)); err != nil {
				return err
			}
		}
	}
	generated := len(w.found)
	for _, file := range patchFiles(k) {
		if err := w.file(dir, file, formatFor(file, formatYAML)); err != nil {
			return err
		}
	}
	for i := generated; i < len(w.found); i++ {
		w.found[i].Patch = true
	}
	for _, below := range slices.Concat(k.Resources, k.Bases, k.Components) {
		local, err := w.view.locate(path.Join(root, dir, below))
		if err != nil {
			w.view.escaped = "" // the build complains, where it matters
			continue
		}
		if err := w.directory(local); err != nil {
			return err
		}
	}
	return nil
}

// file notes a file that is encrypted. One that is missing or outside is kustomize's to complain about.
func (w *sealedWalk) file(dir, name, format string) error {
	if name == "" || isRemote(name) {
		return nil
	}
	full := path.Join(root, dir, name)
	if path.IsAbs(name) {
		full = path.Clean(name)
	}
	local, err := w.view.locate(full)
	if err != nil {
		w.view.escaped = ""
		return nil
	}
	_, given := w.view.overlay[local]
	if given || w.seen[local] {
		return nil
	}
	w.seen[local] = true
	text, err := w.view.readTree(local)
	if err != nil || !isSealed(text, format) {
		return nil
	}
	if len(text) > maxSealed {
		return tooLargeToUnseal(local)
	}
	w.found = append(w.found, Sealed{Path: local, Format: format, Text: text})
	return nil
}

func tooLargeToUnseal(local string) *Fault {
	return &Fault{Code: CodeBuild, Message: fmt.Sprintf(
		"%s is encrypted and larger than %d MiB, the most that is decrypted; split it", local, maxSealed/mebibyte)}
}

func patchFiles(k *types.Kustomization) []string {
	var files []string
	for _, patch := range slices.Concat(k.Patches, k.PatchesJson6902) {
		files = append(files, patch.Path)
	}
	for _, patch := range k.PatchesStrategicMerge {
		if !strings.Contains(string(patch), "\n") {
			files = append(files, string(patch))
		}
	}
	return files
}

// kustomization is the kustomization file of a directory as this build sees it, nil when there is none that can be read.
func (v *View) kustomization(dir string) *types.Kustomization {
	for _, base := range konfig.RecognizedKustomizationFileNames() {
		name := path.Join(dir, base)
		content, ok := v.overlay[name]
		if !ok {
			var err error
			if content, err = v.readTree(name); err != nil {
				continue
			}
		}
		k := &types.Kustomization{}
		if k.Unmarshal(content) != nil {
			return nil // the build says what is wrong with it
		}
		return k
	}
	return nil
}

// noteOrigin keeps an encrypted file that objects are made of: kustomize changes objects, so that only the file itself
// can show that nobody changed it after it was encrypted.
func (v *View) noteOrigin(local string, text []byte) {
	format := formatYAML // whatever its name: kustomize reads JSON and YAML from any file
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		format = formatJSON
	}
	if !v.decrypting || !isSealed(text, format) {
		return
	}
	if len(text) > maxSealed {
		panic(aborted{tooLargeToUnseal(local)})
	}
	v.origins[local] = Sealed{Path: local, Format: format, Text: text}
}

// Described is what a sealed text says of itself.
type Described struct {
	Format   string          `json:"format"`             // "" when the text is not encrypted
	Metadata json.RawMessage `json:"metadata,omitempty"` // SOPS' own block
}

// describeSealed reads the metadata of texts; where no format is given, it is found out.
func describeSealed(texts []Sealed) (result *DescribeResult, err error) {
	at := 0
	defer func() { err = blame(recover(), err, at) }()
	described := make([]Described, 0, len(texts))
	for i, sealed := range texts {
		at = i
		format := sealed.Format
		if format == "" {
			format = detectFormat(sealed.Text)
		}
		if format == "" {
			described = append(described, Described{})
			continue
		}
		doc, err := loadSealed(sealed.Text, format)
		if err != nil {
			return nil, err
		}
		metadata, err := json.Marshal(doc.metadata)
		if err != nil {
			return nil, errors.New("its sops block is malformed")
		}
		described = append(described, Described{format, metadata})
	}
	return &DescribeResult{described}, nil
}

// blame makes a fault of what went wrong with the text at a position. A parser that panics on odd input must not take
// the values that it has seen into a message.
func blame(thrown any, err error, at int) error {
	if thrown != nil {
		err = errors.New("it is malformed")
	}
	if err == nil {
		return nil
	}
	return &Fault{Code: CodeBuild, Message: err.Error(), Index: &at}
}

// unsealAll decrypts texts; the first that cannot be decrypted is the fault's index.
func unsealAll(tasks []UnsealTask) (result *UnsealResult, err error) {
	at := 0
	defer func() { err = blame(recover(), err, at) }()
	plain := make([][]byte, len(tasks))
	for i, task := range tasks {
		at = i
		doc, err := loadSealed(task.Text, task.Format)
		if err != nil {
			return nil, err
		}
		if err := doc.unseal(task.Key, task.Check); err != nil {
			return nil, err
		}
		if task.Into == "" {
			continue
		}
		if plain[i], err = doc.write(task.Into); err != nil {
			return nil, err
		}
	}
	return &UnsealResult{plain}, nil
}
