package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// onlyEncryptedSeed begins the MAC of a document with mac_only_encrypted, lest one be taken for the other.
var onlyEncryptedSeed = []byte{
	0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b,
	0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
}

var (
	errWrongMAC = errors.New("its MAC does not match: it was changed after it was encrypted. Make changes with `sops edit`, " +
		"or decrypt and encrypt it again")
	errSealedValue = errors.New("cannot be decrypted: the value was changed or moved, or belongs to another data key")
)

// unseal decrypts the document in place. check: its MAC must hold; without, somebody else has checked the original.
func (d *sealedDoc) unseal(key []byte, check bool) error {
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != 32 {
		return errors.New("its data key is no AES-256 key")
	}
	walk := &unsealing{rules: d.rules, block: block, mac: sha512.New()}
	if d.rules.macOnlyEncrypted {
		walk.mac.Write(onlyEncryptedSeed)
	}
	for _, part := range d.parts {
		if err := walk.mapping(part, nil, nil); err != nil {
			return err
		}
	}
	if !check {
		return nil
	}
	modified, _ := time.Parse(time.RFC3339, d.rules.modified)
	stored, err := walk.open(d.rules.mac, modified.Format(time.RFC3339))
	if err != nil {
		return errWrongMAC
	}
	text, _ := stored.(string)
	if !hmac.Equal([]byte(text), fmt.Appendf(nil, "%X", walk.mac.Sum(nil))) {
		return errWrongMAC
	}
	return nil
}

// unsealing is one walk over a document.
type unsealing struct {
	rules *sopsRules
	block cipher.Block
	mac   hash.Hash
}

func (u *unsealing) mapping(m mapping, path []string, notes [][]string) error {
	notes = append(notes[:len(notes):len(notes)], nil)
	last := len(notes) - 1
	for i := range m {
		if m[i].note != nil {
			notes[last] = append(notes[last], m[i].note.text)
			u.comment(m[i].note, path, notes)
			continue
		}
		below := append(path[:len(path):len(path)], m[i].key)
		value, err := u.value(m[i].value, below, notes)
		if err != nil {
			return err
		}
		if _, isNote := value.(*note); isNote {
			return fmt.Errorf("%s %w", strings.Join(below, "."), errSealedValue)
		}
		m[i].value = value
		notes[last] = nil
	}
	return nil
}

func (u *unsealing) sequence(s sequence, path []string, notes [][]string) error {
	notes = append(notes[:len(notes):len(notes)], nil)
	last := len(notes) - 1
	for i := range s {
		if line, ok := s[i].(*note); ok {
			notes[last] = append(notes[last], line.text)
			u.comment(line, path, notes)
			continue
		}
		value, err := u.value(s[i], path, notes)
		if err != nil {
			return err
		}
		s[i] = value
		notes[last] = nil
	}
	return nil
}

func (u *unsealing) value(value any, path []string, notes [][]string) (any, error) {
	switch value := value.(type) {
	case nil:
		return nil, nil
	case mapping:
		return value, u.mapping(value, path, notes)
	case sequence:
		return value, u.sequence(value, path, notes)
	}
	encrypted := u.rules.encrypts(path, notes, false)
	if encrypted {
		text, ok := value.(string)
		if !ok {
			return nil, notEncrypted(path)
		}
		opened, err := u.open(text, strings.Join(path, ":")+":")
		if errors.Is(err, errPlain) {
			return nil, notEncrypted(path)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %w", strings.Join(path, "."), err)
		}
		if line, isNote := opened.(*note); isNote {
			return line, nil // in lists, sops encrypts comments as values of their own, which the MAC leaves out
		}
		value = opened
	}
	if encrypted || !u.rules.macOnlyEncrypted {
		u.mac.Write(macBytes(value))
	}
	return value, nil
}

func notEncrypted(path []string) error {
	return fmt.Errorf("%s is not encrypted, and by its sops block it should be; encrypt objects with sops' option "+
		"--encrypted-regex '^(data|stringData)$'", strings.Join(path, "."))
}

// comment decrypts a line; one that is no encrypted text was not encrypted in the first place.
func (u *unsealing) comment(line *note, path []string, notes [][]string) {
	if !u.rules.encrypts(path, notes, true) {
		return
	}
	if opened, err := u.open(line.text, strings.Join(path, ":")+":"); err == nil {
		switch opened := opened.(type) {
		case string:
			line.text = opened
		case *note:
			line.text = opened.text
		}
	}
}

// macBytes is how a value counts for the MAC.
func macBytes(value any) []byte {
	switch value := value.(type) {
	case string:
		return []byte(value)
	case int:
		return strconv.AppendInt(nil, int64(value), 10)
	case float64:
		return strconv.AppendFloat(nil, value, 'f', -1, 64)
	case bool:
		if value {
			return []byte("True")
		}
		return []byte("False")
	case time.Time:
		text, _ := value.MarshalText()
		return text
	}
	return nil
}

var (
	sealedValue = regexp.MustCompile(`^ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:(.+)\]$`)
	errPlain    = errors.New("is not encrypted")
)

// open decrypts one value; its place in the document, or the time of the MAC, is authenticated with it.
func (u *unsealing) open(text, place string) (any, error) {
	if text == "" {
		return "", nil
	}
	found := sealedValue.FindStringSubmatch(text)
	if found == nil {
		return nil, errPlain
	}
	var raw [3][]byte
	for i, encoded := range found[1:4] {
		var err error
		if raw[i], err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errSealedValue
		}
	}
	gcm, err := cipher.NewGCMWithNonceSize(u.block, len(raw[1]))
	if err != nil || len(raw[2]) != gcm.Overhead() {
		return nil, errSealedValue
	}
	plain, err := gcm.Open(nil, raw[1], append(raw[0], raw[2]...), []byte(place))
	if err != nil {
		return nil, errSealedValue
	}
	return typed(string(plain), found[4])
}

func typed(plain, kind string) (value any, err error) {
	switch kind {
	case "str", "bytes":
		return plain, nil
	case "comment":
		return &note{text: plain}, nil
	case "int":
		value, err = strconv.Atoi(plain)
	case "float":
		value, err = strconv.ParseFloat(plain, 64)
	case "bool":
		value, err = strconv.ParseBool(plain)
	case "time":
		var moment time.Time
		err = moment.UnmarshalText([]byte(plain))
		value = moment
	default:
		return nil, errors.New("has a type that this version does not know")
	}
	if err != nil {
		return nil, errSealedValue
	}
	return value, nil
}
