package main

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// refuseBomb fails on YAML whose aliases multiply beyond measure: kustomize would write them all out. What else may be
// wrong with it kustomize says better.
func refuseBomb(name string, content []byte) error {
	if !bytes.ContainsRune(content, '&') || !bytes.ContainsRune(content, '*') {
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document any
		err := decoder.Decode(&document)
		if err != nil && strings.Contains(err.Error(), "excessive aliasing") {
			return &Fault{Code: CodeBuild, Message: fmt.Sprintf("%s: its YAML aliases multiply beyond measure", name)}
		}
		if err != nil {
			return nil
		}
	}
}

// isYAML reports whether kustomize reads a file as YAML.
func isYAML(name string) bool {
	return isKustomizationFile(name) || slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name))
}

// refuseInlineBombs does so for the texts in a kustomization file that are YAML themselves.
func refuseInlineBombs(name string, k *types.Kustomization) error {
	texts := slices.Concat(k.Generators, k.Transformers, k.Validators)
	for _, patch := range k.PatchesStrategicMerge {
		texts = append(texts, string(patch))
	}
	for _, patch := range slices.Concat(k.Patches, k.PatchesJson6902) {
		texts = append(texts, patch.Patch)
	}
	for _, text := range texts {
		if err := refuseBomb(name, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}
