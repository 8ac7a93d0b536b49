package main

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"sync"
)

// Tree is the content of an artifact, immutable once loaded. Paths are relative, slash-separated and clean; the root
// is ".".
type Tree struct {
	nodes   map[string]*node
	dropped map[string]string // path → what it was: links and devices, which artifacts do not carry
	size    int64             // bytes of all files
}

type node struct {
	dir     bool
	content []byte   // of a file
	names   []string // of a directory: its entries, sorted
	digest  func() string
}

func newTree() *Tree {
	return &Tree{nodes: map[string]*node{".": {dir: true}}, dropped: map[string]string{}}
}

// addDir makes a directory and its parents; false when a file is in the way.
func (t *Tree) addDir(name string) bool {
	if existing, ok := t.nodes[name]; ok {
		return existing.dir
	}
	if !t.addDir(path.Dir(name)) {
		return false
	}
	t.link(name, &node{dir: true})
	return true
}

// addFile makes a file and its parents; false when something of that name is there already.
func (t *Tree) addFile(name string, content []byte) bool {
	if _, ok := t.nodes[name]; ok || !t.addDir(path.Dir(name)) {
		return false
	}
	t.link(name, &node{content: content})
	t.size += int64(len(content))
	return true
}

func (t *Tree) link(name string, n *node) {
	t.nodes[name] = n
	parent := t.nodes[path.Dir(name)]
	parent.names = append(parent.names, path.Base(name))
}

// seal sorts the listings; from here on the tree is read by many goroutines.
func (t *Tree) seal() {
	for name, n := range t.nodes {
		slices.Sort(n.names)
		n.digest = sync.OnceValue(func() string { return t.hash(name, n) })
	}
}

func (t *Tree) hash(name string, n *node) string {
	content := n.content
	if n.dir {
		content = []byte(strings.Join(t.listing(name, n), "\n"))
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// listing names the entries of a directory, directories with a slash at the end.
func (t *Tree) listing(name string, n *node) []string {
	names := make([]string, 0, len(n.names))
	for _, entry := range n.names {
		if t.nodes[path.Join(name, entry)].dir {
			entry += "/"
		}
		names = append(names, entry)
	}
	return names
}

// isDir reports whether name is a directory.
func (t *Tree) isDir(name string) bool {
	n, ok := t.nodes[name]
	return ok && n.dir
}
