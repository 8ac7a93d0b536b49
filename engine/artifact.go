package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"
)

// maxPath is the longest path of an entry; Linux allows no longer one either.
const maxPath = 4096

// Limits bound what an artifact may unpack to.
type Limits struct {
	Bytes   int64
	Entries int
}

// loadArtifact reads a tar.gz whose digest ("sha256:<hex>") must match.
func loadArtifact(file, digest string, limits Limits) (*Tree, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, &Fault{Code: CodeArtifact, Message: "the artifact file cannot be read: " + errors.Unwrap(err).Error()}
	}
	if info.Size() > limits.Bytes {
		return nil, tooLarge(limits)
	}
	packed, err := os.ReadFile(file)
	if err != nil {
		return nil, &Fault{Code: CodeArtifact, Message: "the artifact file cannot be read: " + err.Error()}
	}
	if err := verify(packed, digest); err != nil {
		return nil, err
	}
	return unpack(packed, limits)
}

// verify fails unless the bytes have the digest.
func verify(content []byte, digest string) error {
	algorithm, want, _ := strings.Cut(digest, ":")
	makers := map[string]func() hash.Hash{"sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}
	maker, ok := makers[algorithm]
	if !ok {
		return &Fault{Code: CodeArtifact, Message: fmt.Sprintf("the artifact's digest %q is not sha256, sha384 or sha512", digest)}
	}
	sum := maker()
	sum.Write(content)
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return &Fault{Code: CodeArtifact, Message: fmt.Sprintf("the artifact has digest %s:%s instead of %s", algorithm, got, digest)}
	}
	return nil
}

// unpack reads the archive into memory. Links and devices are left out, as in every Flux artifact.
func unpack(packed []byte, limits Limits) (*Tree, error) {
	stream, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, malformed(err)
	}
	bounded := &io.LimitedReader{R: stream, N: limits.Bytes + int64(limits.Entries)*1024}
	archive, tree := tar.NewReader(bounded), newTree()
	for count := 0; ; count++ {
		header, err := archive.Next()
		if bounded.N <= 0 {
			return nil, tooLarge(limits)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, malformed(err)
		}
		if count >= limits.Entries {
			return nil, &Fault{Code: CodeArchive, Message: fmt.Sprintf(
				"the artifact has more than %d entries; leave out what is no manifest with spec.ignore of the source", limits.Entries)}
		}
		if err := tree.addEntry(archive, header, limits); err != nil {
			return nil, err
		}
	}
	tree.seal()
	return tree, nil
}

func (t *Tree) addEntry(archive *tar.Reader, header *tar.Header, limits Limits) error {
	name, err := entryName(header.Name)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if !t.addDir(name) {
			return malformed(fmt.Errorf("%s is both a file and a directory", name))
		}
	case tar.TypeReg:
		return t.unpackFile(archive, header, name, limits)
	case tar.TypeSymlink, tar.TypeLink:
		t.dropped[name] = "a link"
	case tar.TypeXGlobalHeader:
	default:
		t.dropped[name] = "a device"
	}
	return nil
}

func (t *Tree) unpackFile(archive *tar.Reader, header *tar.Header, name string, limits Limits) error {
	if header.Size > limits.Bytes-t.size {
		return tooLarge(limits)
	}
	content := make([]byte, header.Size)
	if _, err := io.ReadFull(archive, content); err != nil {
		return malformed(fmt.Errorf("%s: %w", name, err))
	}
	if !t.addFile(name, content) {
		return malformed(fmt.Errorf("%s appears twice or lies below a file", name))
	}
	return nil
}

// entryName cleans the name of an entry; one that leaves the artifact is not corrected but refused.
func entryName(raw string) (string, error) {
	name := path.Clean(raw)
	if path.IsAbs(raw) || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsRune(raw, 0) || len(raw) > maxPath {
		return "", &Fault{Code: CodeArchive, Message: fmt.Sprintf("the artifact has an entry %.100q, which leaves it", raw)}
	}
	return name, nil
}

func tooLarge(limits Limits) *Fault {
	return &Fault{Code: CodeArchive, Message: fmt.Sprintf(
		"the artifact unpacks to more than %d MiB; leave out what is no manifest with spec.ignore of the source", limits.Bytes/mebibyte)}
}

func malformed(err error) *Fault {
	return &Fault{Code: CodeArchive, Message: "the artifact is not a valid tar.gz: " + err.Error()}
}
