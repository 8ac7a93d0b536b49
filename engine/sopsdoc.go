package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A document of SOPS is a list of mappings whose order counts, comments included. Values are string, int, float64,
// bool, time.Time, nil, sequence or mapping.

type mapping []member

// member is a key and its value, or a comment.
type member struct {
	key   string
	note  *note
	value any
}

// sequence holds values and *note.
type sequence []any

// note is one line of a comment, without the sign it begins with.
type note struct {
	text   string
	inline bool // behind a value, not above it
}

// sealedDoc is a text encrypted with SOPS, taken apart.
type sealedDoc struct {
	parts    []mapping // one, or one a YAML document
	metadata map[string]any
	rules    *sopsRules
}

const metadataKey = "sops"

// loadSealed takes an encrypted text apart. Errors name keys and never values.
func loadSealed(text []byte, format string) (*sealedDoc, error) {
	var parts []mapping
	var metadata map[string]any
	var err error
	switch format {
	case formatYAML:
		if parts, err = readYAML(text); err == nil {
			parts, metadata, err = takeMetadata(parts)
		}
	case formatJSON, formatBinary:
		if parts, err = readJSON(text); err == nil {
			parts, metadata, err = takeMetadata(parts)
		}
	case formatDotenv:
		if parts, err = readDotenv(text); err == nil {
			metadata, err = takePrefixed(parts)
		}
	case formatINI:
		if parts, err = readINI(text); err == nil {
			parts, metadata, err = takeSection(parts)
		}
	default:
		err = fmt.Errorf("unknown format %q", format)
	}
	if err != nil {
		return nil, err
	}
	rules, err := rulesOf(metadata)
	if err != nil {
		return nil, err
	}
	return &sealedDoc{parts, metadata, rules}, nil
}

// write is the plain text in a format.
func (d *sealedDoc) write(format string) ([]byte, error) {
	switch format {
	case formatYAML:
		return writeYAML(d.parts)
	case formatJSON:
		return writeJSON(d.parts[0])
	case formatBinary:
		return writeBinary(d.parts[0])
	case formatDotenv:
		return writeDotenv(d.parts[0])
	case formatINI:
		return writeINI(d.parts[0])
	}
	return nil, fmt.Errorf("unknown format %q", format)
}

// takeMetadata removes the sops block of every part and returns the first part's.
func takeMetadata(parts []mapping) ([]mapping, map[string]any, error) {
	var found map[string]any
	for i, part := range parts {
		kept := make(mapping, 0, len(part))
		for _, one := range part {
			if one.note != nil || one.key != metadataKey {
				kept = append(kept, one)
				continue
			}
			block, ok := one.value.(mapping)
			if !ok {
				return nil, nil, fmt.Errorf("its sops block is no mapping")
			}
			if i == 0 {
				found = plainMap(block)
			}
		}
		parts[i] = kept
	}
	if found == nil {
		return nil, nil, fmt.Errorf("it has no sops block")
	}
	return parts, found, nil
}

// plainMap is a mapping without order and comments.
func plainMap(from mapping) map[string]any {
	plain := make(map[string]any, len(from))
	for _, one := range from {
		if one.note == nil {
			plain[one.key] = plainValue(one.value)
		}
	}
	return plain
}

func plainValue(value any) any {
	switch value := value.(type) {
	case mapping:
		return plainMap(value)
	case sequence:
		plain := make([]any, 0, len(value))
		for _, one := range value {
			if _, isNote := one.(*note); !isNote {
				plain = append(plain, plainValue(one))
			}
		}
		return plain
	case time.Time:
		return value.Format(time.RFC3339)
	default:
		return value
	}
}

// Keys of a flattened block: a__map_b is b in a, a__list_0 the first of a.
const (
	intoMap  = "__map_"
	intoList = "__list_"
)

// unflatten rebuilds a block whose nesting went into its keys, as formats without nesting write it.
func unflatten(flat map[string]string) (map[string]any, error) {
	root := map[string]any{}
	for key, value := range flat {
		at := root
		steps := splitKey(key)
		for i, step := range steps {
			if i == len(steps)-1 {
				at[step] = value
				break
			}
			next, ok := at[step].(map[string]any)
			if !ok {
				if _, taken := at[step]; taken {
					return nil, fmt.Errorf("its sops block has the key %q twice", key)
				}
				next = map[string]any{}
				at[step] = next
			}
			at = next
		}
	}
	plain, ok := withLists(root).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("its sops block is malformed")
	}
	return plain, nil
}

// splitKey gives the steps of a flattened key; those into a list begin with '#'.
func splitKey(key string) []string {
	var steps []string
	prefix := ""
	for {
		m, l := strings.Index(key, intoMap), strings.Index(key, intoList)
		if m < 0 && l < 0 {
			return append(steps, prefix+key)
		}
		if l < 0 || (m >= 0 && m < l) {
			steps, key, prefix = append(steps, prefix+key[:m]), key[m+len(intoMap):], ""
		} else {
			steps, key, prefix = append(steps, prefix+key[:l]), key[l+len(intoList):], "#"
		}
	}
}

// withLists turns maps whose keys are #0, #1, … into lists.
func withLists(value any) any {
	from, ok := value.(map[string]any)
	if !ok {
		return value
	}
	list := make([]any, len(from))
	indexed := 0
	for key, one := range from {
		converted := withLists(one)
		from[key] = converted
		at, err := strconv.Atoi(strings.TrimPrefix(key, "#"))
		if strings.HasPrefix(key, "#") && err == nil && at >= 0 && at < len(list) {
			list[at] = converted
			indexed++
		}
	}
	if indexed == len(from) && indexed > 0 {
		return list
	}
	return from
}
