package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// root is where kustomize finds the artifact. It is not "/", so that a path which leaves the artifact is told from one
// which does not exist.
const root = "/artifact"

var errReadOnly = errors.New("the artifact cannot be written")

// View is an artifact as one build sees it: kustomize's file system, with a generated kustomization file laid over it,
// noting down all that is looked at. It is used by one goroutine and ends the build at its deadline by panicking with
// an aborted value.
type View struct {
	ctx     context.Context
	tree    *Tree
	closure Closure

	overlay map[string][]byte // files that the build lays over the artifact's
	files   []kustomizationFile
	// mayChangeSchema allows kustomization files with an `openapi` field; without it they abort the build.
	mayChangeSchema bool
	escaped         string         // a path outside of the artifact that was asked for
	objects         map[string]int // by file, about how many objects it holds
	total           int            // of them
	// decrypting notes the encrypted files that are read.
	decrypting bool
	origins    map[string]Sealed
	// notes are what the author should know of a build that succeeds.
	notes []string
}

// aborted is what View panics with.
type aborted struct{ err error }

var _ filesys.FileSystem = (*View)(nil)

// NewView shows a tree until ctx ends.
func NewView(ctx context.Context, tree *Tree) *View {
	return &View{
		ctx: ctx, tree: tree, closure: Closure{}, overlay: map[string][]byte{}, objects: map[string]int{}, origins: map[string]Sealed{},
	}
}

// locate turns an absolute path of kustomize's into one of the tree's.
func (v *View) locate(name string) (string, error) {
	if v.ctx.Err() != nil {
		panic(aborted{deadlineFault()})
	}
	name = filepath.Clean(name)
	switch {
	case name == root:
		return ".", nil
	case strings.HasPrefix(name, root+"/"):
		return name[len(root)+1:], nil
	}
	v.escaped = name
	return "", fmt.Errorf("'%s' is outside of the source", name)
}

// CleanedAbs splits a path that exists into its directory and its file.
func (v *View) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	local, err := v.locate(name)
	if err != nil {
		return "", "", err
	}
	v.closure.probe(v.tree, local)
	n, ok := v.tree.nodes[local]
	switch {
	case !ok:
		return "", "", v.missing(local)
	case n.dir:
		return filesys.ConfirmedDir(path.Join(root, local)), "", nil
	default:
		return filesys.ConfirmedDir(path.Join(root, path.Dir(local))), path.Base(local), nil
	}
}

// ReadFile returns the content of a file.
func (v *View) ReadFile(name string) ([]byte, error) {
	local, err := v.locate(name)
	if err != nil {
		return nil, err
	}
	content, ok := v.overlay[local]
	if !ok {
		if content, err = v.readTree(local); err != nil {
			return nil, err
		}
		v.noteOrigin(local, content)
	}
	if isYAML(local) {
		if err := cmp.Or(refuseBomb(local, content), v.countObjects(local, content)); err != nil {
			panic(aborted{err})
		}
	}
	if isKustomizationFile(local) {
		v.inspect(local, content)
	}
	return content, nil
}

func (v *View) readTree(local string) ([]byte, error) {
	n, ok := v.tree.nodes[local]
	switch {
	case !ok:
		v.closure.probe(v.tree, local)
		return nil, v.missing(local)
	case n.dir:
		v.closure.probe(v.tree, local)
		return nil, fmt.Errorf("'%s' is a directory", local)
	default:
		v.closure.read(v.tree, local)
		return n.content, nil
	}
}

// maxObjects is the largest number of objects in a build. Kustomize compares each with each, so that ten times as many
// take a hundred times as long.
const maxObjects = 20_000

// countObjects fails once the files that were read hold too many objects.
func (v *View) countObjects(local string, content []byte) error {
	count := bytes.Count(content, []byte("\napiVersion:"))
	v.total += count - v.objects[local]
	v.objects[local] = count
	if v.total <= maxObjects {
		return nil
	}
	return &Fault{Code: CodeBuild, Message: fmt.Sprintf(
		"the build has more than %d objects; split it into several Kustomizations", maxObjects)}
}

// missing says why a path is not there.
func (v *View) missing(local string) error {
	for name := local; name != "."; name = path.Dir(name) {
		if what, ok := v.tree.dropped[name]; ok {
			return fmt.Errorf("'%s' is %s, which artifacts do not carry", name, what)
		}
	}
	return fmt.Errorf("'%s' is not in the source", local)
}

// list names the entries of a directory of the artifact, directories with a slash at the end.
func (v *View) list(local string) []string {
	if v.ctx.Err() != nil {
		panic(aborted{deadlineFault()})
	}
	v.closure.read(v.tree, local)
	return v.tree.listing(local, v.tree.nodes[local])
}

// Exists reports whether there is a file or a directory.
func (v *View) Exists(name string) bool {
	_, _, err := v.CleanedAbs(name)
	return err == nil
}

// IsDir reports whether there is a directory.
func (v *View) IsDir(name string) bool {
	_, file, err := v.CleanedAbs(name)
	return err == nil && file == ""
}

// ReadDir names the entries of a directory.
func (v *View) ReadDir(name string) ([]string, error) {
	local, err := v.locate(name)
	if err != nil {
		return nil, err
	}
	if !v.tree.isDir(local) {
		return nil, v.missing(local)
	}
	names := v.list(local)
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], "/")
	}
	return names, nil
}

// The rest of the interface is of no use to a build.

// Create fails.
func (v *View) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir fails.
func (v *View) Mkdir(string) error { return errReadOnly }

// MkdirAll fails.
func (v *View) MkdirAll(string) error { return errReadOnly }

// RemoveAll fails.
func (v *View) RemoveAll(string) error { return errReadOnly }

// WriteFile fails.
func (v *View) WriteFile(string, []byte) error { return errReadOnly }

// Open fails.
func (v *View) Open(string) (filesys.File, error) { return nil, errors.ErrUnsupported }

// Glob fails.
func (v *View) Glob(string) ([]string, error) { return nil, errors.ErrUnsupported }

// Walk fails.
func (v *View) Walk(string, filepath.WalkFunc) error { return errors.ErrUnsupported }
