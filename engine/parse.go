package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// parseTexts reads YAML as Kubernetes' own tools do; empty documents are left out and lists flattened.
func parseTexts(texts []string) (*ParseResult, error) {
	result := &ParseResult{Objects: make([][]json.RawMessage, 0, len(texts))}
	for i, text := range texts {
		objects, err := parseText(text)
		if err != nil {
			return nil, &Fault{Code: CodeBuild, Message: err.Error(), Index: &i}
		}
		result.Objects = append(result.Objects, objects)
	}
	return result, nil
}

func parseText(text string) ([]json.RawMessage, error) {
	objects := []json.RawMessage{}
	for _, document := range documents(text) {
		object, err := yaml.YAMLToJSON([]byte(document))
		if err == nil {
			object, err = boundNumbers(object)
		}
		if err != nil {
			return nil, err
		}
		if string(object) == "null" {
			continue
		}
		items, err := flatten(object)
		if err != nil {
			return nil, err
		}
		objects = append(objects, items...)
	}
	return objects, nil
}

// documents splits at lines that start with "---", which YAML allows nowhere but between documents.
func documents(text string) []string {
	var split []string
	var current strings.Builder
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "---"); ok && (rest == "" || strings.ContainsAny(rest[:1], " \t\r\n")) {
			split = append(split, current.String())
			current.Reset()
			current.WriteString(rest)
			continue
		}
		current.WriteString(line)
	}
	return append(split, current.String())
}

// flatten returns the items of a list, recursively, and any other object as it is.
func flatten(object []byte) ([]json.RawMessage, error) {
	var head struct {
		Kind  any             `json:"kind"`
		Items json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(object, &head); err != nil {
		return nil, fmt.Errorf("not an object but %.40s", object)
	}
	kind, _ := head.Kind.(string)
	var items []json.RawMessage
	if !strings.HasSuffix(kind, "List") || len(head.Items) == 0 || json.Unmarshal(head.Items, &items) != nil {
		return []json.RawMessage{object}, nil
	}
	objects := []json.RawMessage{}
	for _, item := range items {
		flat, err := flatten(item)
		if err != nil {
			return nil, err
		}
		objects = append(objects, flat...)
	}
	return objects, nil
}
