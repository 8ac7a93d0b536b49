package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// Prepare lays over the view the kustomization file that the spec asks for in a directory: the one that is there, or
// else one that lists every manifest below, extended by the parts of the spec. Like Flux it calls no such file empty.
func (v *View) Prepare(dir string, parts *Parts) error {
	name, k, odd, err := v.findKustomization(dir)
	if err != nil {
		return err
	}
	if odd != nil {
		v.notes = append(v.notes, fmt.Sprintf("%s: %v: left out, with whatever else kustomize does not know there", name, odd))
	}
	switch {
	case k == nil:
		name = path.Join(dir, konfig.DefaultKustomizationFileName())
		if k = (&types.Kustomization{Resources: v.manifests(dir, "")}); len(k.Resources) == 0 {
			k.Namespace = "placeholder"
		}
	case len(k.Resources) == 0:
		// What Flux does about such a file marks all that it generates; to render otherwise would change live objects.
		k.BuildMetadata = []string{types.OriginAnnotations}
	case parts.empty() && odd == nil:
		return nil
	}
	if err := v.extend(k, dir, parts); err != nil {
		return err
	}
	k.FixKustomization()
	content, err := yaml.Marshal(k)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	v.overlay[name] = content
	return nil
}

// findKustomization reads the kustomization file of a directory; nil when there is none. Kustomize itself complains
// about a second one. Like Flux it leaves out fields of this one file that kustomize does not know, unless nothing would
// be left to build (and all that was built before to delete); odd names the first.
func (v *View) findKustomization(dir string) (name string, k *types.Kustomization, odd, err error) {
	for _, base := range konfig.RecognizedKustomizationFileNames() {
		name = path.Join(dir, base)
		content, err := v.readTree(name)
		if err != nil {
			continue
		}
		k = &types.Kustomization{}
		odd = k.Unmarshal(content)
		if odd != nil && !strings.Contains(odd.Error(), "unknown field") {
			return "", nil, nil, fmt.Errorf("%s: %w", name, odd)
		}
		if odd != nil {
			if err := yaml.Unmarshal(content, k); err != nil || barren(k) {
				return "", nil, nil, fmt.Errorf("%s: %w", name, cmp.Or(err, odd))
			}
		}
		return name, k, odd, nil
	}
	return "", nil, nil, nil
}

// barren reports whether a kustomization makes no object, as one does in which `resources` is misspelt.
func barren(k *types.Kustomization) bool {
	return len(k.Resources)+len(k.Components)+len(k.Generators)+len(k.ConfigMapGenerator)+len(k.SecretGenerator) == 0
}

// manifests lists, relative to dir, every YAML file below it; a subdirectory with a kustomization file of its own
// counts as one entry.
func (v *View) manifests(dir, prefix string) []string {
	var found []string
	for _, entry := range v.list(path.Join(dir, prefix)) {
		name, isDir := path.Join(prefix, entry), strings.HasSuffix(entry, "/")
		switch {
		case isDir && v.hasKustomization(path.Join(dir, name)):
			found = append(found, name)
		case isDir:
			found = append(found, v.manifests(dir, name)...)
		case path.Ext(name) == ".yaml" || path.Ext(name) == ".yml":
			found = append(found, name)
			if err := v.countObjects(path.Join(dir, name), v.tree.nodes[path.Join(dir, name)].content); err != nil {
				panic(aborted{err})
			}
		}
	}
	return found
}

func (v *View) hasKustomization(dir string) bool {
	return slices.ContainsFunc(konfig.RecognizedKustomizationFileNames(), func(base string) bool {
		name := path.Join(dir, base)
		v.closure.probe(v.tree, name)
		n, ok := v.tree.nodes[name]
		return ok && !n.dir
	})
}

func (v *View) extend(k *types.Kustomization, dir string, parts *Parts) error {
	if parts.TargetNamespace != "" {
		k.Namespace = parts.TargetNamespace
	}
	if parts.NamePrefix != "" {
		k.NamePrefix = parts.NamePrefix
	}
	if parts.NameSuffix != "" {
		k.NameSuffix = parts.NameSuffix
	}
	if len(parts.BuildMetadata) > 0 {
		k.BuildMetadata = parts.BuildMetadata
	}
	if parts.Where && !slices.Contains(k.BuildMetadata, types.OriginAnnotations) {
		k.BuildMetadata = append(k.BuildMetadata, types.OriginAnnotations)
	}
	for _, patch := range parts.Patches {
		k.Patches = append(k.Patches, types.Patch{Patch: patch.Patch, Target: patch.Target})
	}
	for _, image := range parts.Images {
		k.Images = mergeImage(k.Images, image)
	}
	return v.addComponents(k, dir, parts)
}

// mergeImage overrides what the file says of an image by what the spec says of it. Tag and digest are one: an old digest
// beside a new tag would win.
func mergeImage(images []types.Image, override types.Image) []types.Image {
	at := slices.IndexFunc(images, func(image types.Image) bool { return image.Name == override.Name })
	if at < 0 {
		return append(images, override)
	}
	if override.NewName != "" {
		images[at].NewName = override.NewName
	}
	if override.NewTag != "" || override.Digest != "" {
		images[at].NewTag, images[at].Digest = override.NewTag, override.Digest
	}
	return images
}

func (v *View) addComponents(k *types.Kustomization, dir string, parts *Parts) error {
	for _, component := range parts.Components {
		if path.IsAbs(component) || isRemote(component) {
			return specFault("spec.components: %q must be a directory of the same source, relative to spec.path", component)
		}
		local, err := v.locate(path.Join(root, dir, component))
		if err != nil {
			return specFault("spec.components: %q leaves the source", component)
		}
		v.closure.probe(v.tree, local)
		switch {
		case v.tree.isDir(local):
		case parts.IgnoreMissingComponents:
			continue
		default:
			return specFault("spec.components: the source has no directory %q; add it or set spec.ignoreMissingComponents", local)
		}
		k.Components = append(k.Components, component)
	}
	return nil
}

func specFault(format string, args ...any) *Fault {
	return &Fault{Code: CodeBuild, Message: fmt.Sprintf(format, args...)}
}
