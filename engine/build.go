package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// Build renders a directory of an artifact with the parts of a spec. What decrypt and plain are is told at Request.
func Build(
	ctx context.Context, tree *Tree, dir string, parts *Parts, decrypt bool, plain map[string][]byte,
) (*BuildResult, error) {
	dir, err := resolve(tree, dir)
	if err != nil {
		return nil, err
	}
	var result *BuildResult
	attempt := func(ownSchema bool) func() error {
		return func() (err error) {
			view := NewView(ctx, tree)
			view.mayChangeSchema = ownSchema
			view.decrypting = decrypt
			maps.Copy(view.overlay, plain)
			result, err = buildView(view, dir, parts)
			return err
		}
	}
	err = withSharedSchema(attempt(false))
	if errors.Is(err, errNeedsSchema) {
		err = withOwnSchema(attempt(true))
	}
	return result, err
}

// resolve turns spec.path into a directory of the tree. As in Flux, "/" is the root of the artifact and ".." stops there.
func resolve(tree *Tree, dir string) (string, error) {
	local := strings.TrimPrefix(path.Join("/", dir), "/")
	if local == "" {
		local = "."
	}
	if tree.isDir(local) {
		return local, nil
	}
	if n, ok := tree.nodes[local]; ok && !n.dir {
		return "", &Fault{Code: CodeArtifact, Message: fmt.Sprintf("spec.path: %q is a file of the source, not a directory", dir)}
	}
	return "", &Fault{Code: CodeArtifact, Message: fmt.Sprintf("spec.path: the source has no directory %q%s", dir, alternatives(tree, local))}
}

// alternatives names what there is instead of a missing directory.
func alternatives(tree *Tree, local string) string {
	parent := path.Dir(local)
	for !tree.isDir(parent) {
		parent = path.Dir(parent)
	}
	names := slices.DeleteFunc(tree.listing(parent, tree.nodes[parent]), func(name string) bool { return !strings.HasSuffix(name, "/") })
	if len(names) == 0 {
		return ""
	}
	if len(names) > 10 {
		names = append(names[:10], "…")
	}
	where := "it has"
	if parent != "." {
		where = parent + "/ has"
	}
	return fmt.Sprintf("; %s %s", where, strings.Join(names, ", "))
}

// buildView runs kustomize, turning panics (of the view at its deadline, of kustomize on odd input) into errors.
func buildView(view *View, dir string, parts *Parts) (result *BuildResult, err error) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case aborted:
			err = thrown.err
		default:
			err = fmt.Errorf("kustomize failed on it: %v", thrown)
		}
		err = explain(view, dir, err)
	}()
	if err := view.Prepare(dir, parts); err != nil {
		return nil, err
	}
	result = &BuildResult{Objects: []json.RawMessage{}, Texts: map[int]string{}, Closure: view.closure, Notes: view.notes}
	if view.decrypting {
		if result.Sealed, err = view.sealedFiles(dir); err != nil || len(result.Sealed) > 0 {
			return result, err
		}
	}
	options := &krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone, // the view is the restriction
		PluginConfig:     types.DisabledPluginConfig(),
	}
	resources, err := krusty.MakeKustomizer(options).Run(view, path.Join(root, dir))
	if err != nil {
		return nil, err
	}
	if parts.Where {
		result.Where = where(resources, dir)
		return result, nil
	}
	for _, name := range slices.Sorted(maps.Keys(view.origins)) {
		result.Origins = append(result.Origins, view.origins[name])
	}
	return result, result.add(resources)
}

// where names the file that each object comes from, relative to the root of the artifact; "" where it is not known.
func where(resources resmap.ResMap, dir string) []string {
	files := make([]string, 0, resources.Size())
	for _, resource := range resources.Resources() {
		file := ""
		if origin, err := resource.GetOrigin(); err == nil && origin != nil {
			file = cmp.Or(origin.Path, origin.ConfiguredIn)
		}
		if file != "" {
			file = path.Join(dir, file)
		}
		files = append(files, file)
	}
	return files
}

func (r *BuildResult) add(resources resmap.ResMap) error {
	for i, resource := range resources.Resources() {
		object, err := resource.MarshalJSON()
		if err == nil {
			object, err = boundNumbers(object)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", resource.CurId(), err)
		}
		r.Objects = append(r.Objects, object)
		if !substitutable(object) {
			continue
		}
		text, err := resource.AsYAML()
		if err != nil {
			return fmt.Errorf("%s: %w", resource.CurId(), err)
		}
		r.Texts[i] = string(text)
	}
	return nil
}

// textsOf gives the YAML of objects as a build does.
func textsOf(objects []json.RawMessage) (*TextsResult, error) {
	result := &TextsResult{Texts: make([]string, len(objects))}
	for i, object := range objects {
		if !substitutable(object) {
			continue
		}
		text, err := yaml.JSONToYAML(object)
		if err != nil {
			return nil, &Fault{Code: CodeBuild, Message: "the object cannot be written as YAML", Index: &i}
		}
		result.Texts[i] = string(text)
	}
	return result, nil
}

// substitutable reports whether postBuild substitution could change an object.
func substitutable(object []byte) bool {
	text := string(object)
	return strings.Contains(text, "${") || strings.Contains(text, "$$")
}
