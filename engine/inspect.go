package main

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// kustomizationFile is one that a build has read, kept to explain a failure.
type kustomizationFile struct {
	name    string
	content types.Kustomization
}

func isKustomizationFile(name string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
}

// inspect remembers a kustomization file, and aborts a build that would change the schema without having it for itself.
func (v *View) inspect(name string, content []byte) {
	var k types.Kustomization
	if k.Unmarshal(content) != nil {
		return // kustomize says what is wrong with it
	}
	v.files = append(v.files, kustomizationFile{name, k})
	if err := refuseInlineBombs(name, &k); err != nil {
		panic(aborted{err})
	}
	if len(k.OpenAPI) > 0 && !v.mayChangeSchema {
		panic(aborted{errNeedsSchema})
	}
}

// refusal finds in the kustomization files that were read what Fleetbeat refuses, to explain a failed build by it. It
// is an explanation only: what is refused cannot work in any case.
func (v *View) refusal() string {
	for _, file := range v.files {
		if len(file.content.HelmCharts) > 0 || len(file.content.HelmChartInflationGenerator) > 0 {
			return fmt.Sprintf("%s: helmCharts are not inflated here; use a HelmRelease, or commit the rendered chart", file.name)
		}
		for _, reference := range references(&file.content) {
			if isRemote(reference) && !v.tree.isDir(path.Join(path.Dir(file.name), reference)) {
				return fmt.Sprintf("%s: %s is remote; remote bases and files are refused, commit them to the source", file.name, reference)
			}
		}
	}
	return ""
}

// references are all the places of a kustomization file that may name something remote.
func references(k *types.Kustomization) []string {
	all := slices.Concat(k.Resources, k.Components, k.Crds, k.Configurations, k.Bases)
	patches := make([]string, 0, len(k.PatchesStrategicMerge))
	for _, patch := range k.PatchesStrategicMerge {
		patches = append(patches, string(patch))
	}
	for _, inline := range slices.Concat(k.Generators, k.Transformers, k.Validators, patches) {
		if !strings.Contains(inline, "\n") {
			all = append(all, inline)
		}
	}
	for _, patch := range slices.Concat(k.Patches, k.PatchesJson6902) {
		all = append(all, patch.Path)
	}
	for _, replacement := range k.Replacements {
		all = append(all, replacement.Path)
	}
	for _, generator := range k.ConfigMapGenerator {
		all = append(all, sources(generator.KvPairSources)...)
	}
	for _, generator := range k.SecretGenerator {
		all = append(all, sources(generator.KvPairSources)...)
	}
	return append(all, k.OpenAPI["path"])
}

func sources(kv types.KvPairSources) []string {
	files := append(slices.Clone(kv.EnvSources), kv.EnvSource)
	for _, source := range kv.FileSources {
		if key, file, found := strings.Cut(source, "="); found && !strings.Contains(key, "/") {
			source = file
		}
		files = append(files, source)
	}
	return files
}

var remote = regexp.MustCompile(`^(git::|gh:|github\.com[/:]|[\w.-]+@[\w.-]+:|[a-z+]+://)`)

func isRemote(reference string) bool { return remote.MatchString(strings.ToLower(reference)) }
