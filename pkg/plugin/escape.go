package plugin

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// line is text that others wrote, as one line of a terminal: what would move the cursor,
// begin another line, or change the direction of the text is shown instead of done.
func line(text string) string { return escape(text, "") }

// block is such text in its own lines.
func block(text string) string { return escape(text, "\n\t") }

func escape(text, keep string) string {
	harmless := func(r rune) bool {
		return strings.ContainsRune(keep, r) || !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r) && r != '\u2028' && r != '\u2029' && r != unicode.ReplacementChar
	}
	if !strings.ContainsFunc(text, func(r rune) bool { return !harmless(r) }) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case harmless(r):
			b.WriteRune(r)
		case r == '\x1b':
			b.WriteString("^[") // as kubectl writes it
		case r == unicode.ReplacementChar:
			fmt.Fprintf(&b, "\\x%02x", text[i]) // the first byte of what is no text, or U+FFFD
		case r < unicode.MaxASCII:
			b.WriteString(strings.Trim(fmt.Sprintf("%q", r), "'"))
		default:
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// escapeJSON escapes what a terminal would act upon and encoding/json leaves as it is.
func escapeJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) && r <= 0xffff {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Safe is an error's text, for a terminal.
func Safe(err error) string { return block(err.Error()) }

// onTerminal is out where it is no terminal: files and other programs get each byte as
// it is. On a terminal, escape sequences are shown instead of done.
func onTerminal(out io.Writer) io.Writer {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a file descriptor
		return escaping{out}
	}
	return out
}

// escaping writes blocks. A character that is written in two parts is shown as bytes.
type escaping struct{ out io.Writer }

// Write implements io.Writer.
func (e escaping) Write(p []byte) (int, error) {
	if _, err := io.WriteString(e.out, block(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
