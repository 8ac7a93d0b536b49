package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// sopsRules say which values of a document are encrypted and what its MAC covers.
type sopsRules struct {
	unencryptedSuffix, encryptedSuffix   string
	unencryptedRegex, encryptedRegex     *regexp.Regexp
	unencryptedComment, encryptedComment *regexp.Regexp
	macOnlyEncrypted                     bool
	mac, modified                        string
}

const defaultUnencryptedSuffix = "_unencrypted"

func rulesOf(metadata map[string]any) (*sopsRules, error) {
	text := func(key string) string {
		value, _ := metadata[key].(string)
		return value
	}
	pattern := func(key string) *regexp.Regexp {
		if text(key) == "" {
			return nil
		}
		compiled, err := regexp.Compile(text(key))
		if err != nil {
			return regexp.MustCompile(`[^\s\S]`) // what does not compile matches nothing, as with sops
		}
		return compiled
	}
	rules := &sopsRules{
		unencryptedSuffix: text("unencrypted_suffix"), encryptedSuffix: text("encrypted_suffix"),
		unencryptedRegex: pattern("unencrypted_regex"), encryptedRegex: pattern("encrypted_regex"),
		unencryptedComment: pattern("unencrypted_comment_regex"), encryptedComment: pattern("encrypted_comment_regex"),
		macOnlyEncrypted: fmt.Sprint(metadata["mac_only_encrypted"]) == "true",
		mac:              text("mac"), modified: text("lastmodified"),
	}
	count := 0
	for _, key := range []string{"unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex",
		"unencrypted_comment_regex", "encrypted_comment_regex"} {
		if text(key) != "" {
			count++
		}
	}
	if count > 1 {
		return nil, errors.New("its sops block has more than one rule that says what is encrypted")
	}
	if count == 0 {
		rules.unencryptedSuffix = defaultUnencryptedSuffix
	}
	if rules.mac == "" {
		return nil, errors.New("its sops block has no MAC; encrypt the file with sops again")
	}
	if _, err := time.Parse(time.RFC3339, rules.modified); err != nil {
		return nil, errors.New("its sops block has no valid lastmodified; encrypt the file with sops again")
	}
	return rules, nil
}

// encrypts decides on a value or a comment by its path and by the comments before it, level by level.
func (r *sopsRules) encrypts(path []string, notes [][]string, isNote bool) bool {
	onPath := func(holds func(string) bool) bool {
		for _, step := range path {
			if holds(step) {
				return true
			}
		}
		return false
	}
	switch {
	case r.unencryptedSuffix != "":
		return !onPath(func(step string) bool { return strings.HasSuffix(step, r.unencryptedSuffix) })
	case r.encryptedSuffix != "":
		return onPath(func(step string) bool { return strings.HasSuffix(step, r.encryptedSuffix) })
	case r.unencryptedRegex != nil:
		return !onPath(r.unencryptedRegex.MatchString)
	case r.encryptedRegex != nil:
		return onPath(r.encryptedRegex.MatchString)
	case r.unencryptedComment != nil:
		return !noted(r.unencryptedComment, notes, false)
	case r.encryptedComment != nil:
		return noted(r.encryptedComment, notes, isNote)
	}
	return true
}

// noted reports whether a comment matches; a comment does not count for itself when it is left out.
func noted(pattern *regexp.Regexp, notes [][]string, withoutLast bool) bool {
	for level, lines := range notes {
		for i, line := range lines {
			if withoutLast && level == len(notes)-1 && i == len(lines)-1 {
				continue
			}
			if pattern.MatchString(line) {
				return true
			}
		}
	}
	return false
}
