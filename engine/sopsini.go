package main

import (
	"bytes"
	"errors"
	"strings"

	"gopkg.in/ini.v1"
)

func readINI(text []byte) ([]mapping, error) {
	file, err := ini.LoadSources(ini.LoadOptions{AllowNonUniqueSections: true}, text)
	if err != nil {
		return nil, errors.New("it is no valid INI")
	}
	top := mapping{}
	for _, section := range file.Sections() {
		m := mapping{}
		if section.Comment != "" {
			m = append(m, member{note: &note{text: withoutSign(section.Comment)}})
		}
		for _, key := range section.Keys() {
			m = append(m, member{key: key.Name(), value: key.Value()})
			if key.Comment != "" {
				m = append(m, member{note: &note{text: withoutSign(key.Comment)}})
			}
		}
		top = append(top, member{key: section.Name(), value: m})
	}
	return []mapping{top}, nil
}

func withoutSign(comment string) string {
	if strings.HasPrefix(comment, ";") {
		return strings.TrimLeft(comment, "; ")
	}
	return strings.TrimLeft(comment, "# ")
}

func writeINI(m mapping) ([]byte, error) {
	file := ini.Empty(ini.LoadOptions{AllowNonUniqueSections: true})
	file.DeleteSection(ini.DefaultSection)
	for _, one := range m {
		content, ok := one.value.(mapping)
		if one.note != nil || !ok {
			return nil, errors.New("it has values outside of sections")
		}
		section, err := file.NewSection(one.key)
		if err != nil {
			return nil, errors.New("a section has no name")
		}
		if err := fillSection(section, content); err != nil {
			return nil, err
		}
	}
	var text bytes.Buffer
	_, err := file.WriteTo(&text)
	return text.Bytes(), err
}

func fillSection(section *ini.Section, content mapping) error {
	var last *ini.Key
	for _, one := range content {
		switch {
		case one.note == nil:
			text, err := flatText(one)
			if err != nil {
				return err
			}
			if last, err = section.NewKey(one.key, text); err != nil {
				return errors.New("a key has no name")
			}
		case last != nil:
			last.Comment = one.note.text
		default:
			section.Comment = one.note.text
		}
	}
	return nil
}

// takeSection removes the section [sops] and returns what it says.
func takeSection(parts []mapping) ([]mapping, map[string]any, error) {
	kept := mapping{}
	flat := map[string]string{}
	for _, one := range parts[0] {
		section, _ := one.value.(mapping)
		if one.key != metadataKey {
			kept = append(kept, one)
			continue
		}
		for _, entry := range section {
			if text, ok := entry.value.(string); ok && entry.note == nil {
				flat[entry.key] = strings.ReplaceAll(text, `\n`, "\n")
			}
		}
	}
	if len(flat) == 0 {
		return nil, nil, errors.New("it has no section [sops]")
	}
	metadata, err := unflatten(flat)
	return []mapping{kept}, metadata, err
}
