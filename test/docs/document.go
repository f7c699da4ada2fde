// Package docs reads what this project's documentation has users type, so that tests
// can do it.
//
// A block of language console holds commands after "$ ", which go on in lines that begin
// with two spaces, and what they print; "…" stands for anything. A block of YAML that
// begins with a comment of just a file's name is that file. What has to be there first, and is nothing
// to show, is in comments: <!-- run: command -->.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Block of a document.
type Block struct {
	// Line at which it begins, counted from 1.
	Line     int
	Language string
	Text     string
}

// Step of a document that a reader does, or that is done for the reader.
type Step struct {
	// Line of the document.
	Line int
	// Command that bash runs; empty where a file is written.
	Command string
	// Prints are the lines that the command prints, as far as they are shown.
	Prints []string
	// File to be written, and its Text.
	File, Text string
}

// Files are this project's documents, by their paths from root.
func Files(root string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md"} {
		all = append(all, filepath.Join(root, name))
	}
	return all, nil
}

// Read the lines of a document.
func Read(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return strings.Split(string(text), "\n"), nil
}

// Blocks of a document.
func Blocks(lines []string) ([]Block, error) {
	var all []Block
	var open *Block
	for i, line := range lines {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &Block{Line: i + 1, Language: language}
		case fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.Text += line + "\n"
		}
	}
	if open != nil {
		return nil, fmt.Errorf("the block of line %d has no end", open.Line)
	}
	return all, nil
}

var (
	hidden   = regexp.MustCompile(`^<!-- run: (.*) -->$`)
	fileName = regexp.MustCompile(`^# ([a-z0-9-]+\.(?:yaml|json|py|js|go))\n`)
)

// Steps of a document, in order.
func Steps(lines []string) ([]Step, error) {
	blocks, err := Blocks(lines)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for i, line := range lines {
		if m := hidden.FindStringSubmatch(line); m != nil {
			steps = append(steps, Step{Line: i + 1, Command: m[1]})
		}
		if len(blocks) == 0 || blocks[0].Line != i+1 {
			continue
		}
		b := blocks[0]
		blocks = blocks[1:]
		if b.Language == "console" {
			steps = append(steps, commands(b)...)
		} else if m := fileName.FindStringSubmatch(b.Text); m != nil {
			steps = append(steps, Step{Line: b.Line, File: m[1], Text: b.Text})
		}
	}
	return steps, nil
}

func commands(b Block) (steps []Step) {
	for i, line := range strings.Split(strings.TrimSuffix(b.Text, "\n"), "\n") {
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case begins:
			steps = append(steps, Step{Line: b.Line + 1 + i, Command: command})
		case len(steps) == 0: // Rules finds it
		case strings.HasPrefix(line, "  ") && len(steps[len(steps)-1].Prints) == 0:
			steps[len(steps)-1].Command += "\n" + line
		default:
			last := &steps[len(steps)-1]
			last.Prints = append(last.Prints, line)
		}
	}
	return steps
}

// Check that a command printed what its step shows: for each line, one that begins with
// the same word. What else is in it depends on the cluster and the time.
func (s *Step) Check(printed string) error {
	has := map[string]bool{}
	for line := range strings.Lines(printed) {
		has[first(line)] = true
	}
	for _, line := range s.Prints {
		if word := first(line); word != "…" && word != "" && !has[word] {
			return fmt.Errorf("line %d: %s\nprints no line that begins with %q, but\n%s", s.Line, s.Command, word, printed)
		}
	}
	return nil
}

func first(line string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	return word
}
