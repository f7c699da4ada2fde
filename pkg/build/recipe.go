package build

import (
	"encoding/json"
	"slices"
	"strings"
)

// Recipe is a Dockerfile that runs nothing: whoever can read the base image and
// write a layer can make its image, without a container.
type Recipe struct {
	// Base image.
	Base string
	// Copies out of one other image, and of the function's files.
	Copies []Copy
	// Env to add, NAME=value each.
	Env []string
	// WorkDir, User and Entrypoint; empty where the base image's hold.
	WorkDir, User string
	Entrypoint    []string
}

// Copy puts a file, or what is in a folder, into the image.
type Copy struct {
	// Image that From is in; empty for the build context.
	Image string
	// From and To are paths; a folder goes to a folder.
	From, To string
}

// ParseRecipe reads a rendered Dockerfile. It returns false where the Dockerfile
// has anything that only a build can do: steps that run, variables, more than one
// stage.
func ParseRecipe(dockerfile string) (*Recipe, bool) {
	r := &Recipe{}
	for _, line := range strings.Split(dockerfile, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		instruction, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if rest == "" || strings.ContainsAny(rest, "$\\'") || !r.take(strings.ToUpper(instruction), rest) {
			return nil, false
		}
	}
	runtime := slices.ContainsFunc(r.Copies, func(c Copy) bool { return c.Image != "" })
	return r, runtime && len(r.Entrypoint) > 0
}

// take adds an instruction, and tells whether it is one of a recipe.
func (r *Recipe) take(instruction, rest string) bool {
	words := strings.Fields(rest)
	if (r.Base == "") != (instruction == "FROM") && instruction != "ARG" {
		return false
	}
	switch instruction {
	case "FROM":
		r.Base = rest
		return len(words) == 1 && words[0] != "scratch"
	case "COPY":
		return r.takeCopy(words)
	case "ENV":
		for _, w := range words {
			name, _, ok := strings.Cut(w, "=")
			if !ok || name == "" || strings.Contains(w, `"`) {
				return false
			}
			r.Env = append(r.Env, w)
		}
		return true
	case "ARG": // for what runs
		return true
	case "WORKDIR":
		r.WorkDir = rest
		return len(words) == 1 && strings.HasPrefix(rest, "/")
	case "USER":
		r.User = rest
		return len(words) == 1
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &r.Entrypoint) == nil
	}
	return false
}

func (r *Recipe) takeCopy(words []string) bool {
	c := Copy{}
	if image, ok := strings.CutPrefix(words[0], "--from="); ok {
		c.Image, words = image, words[1:]
	}
	if len(words) != 2 || strings.HasPrefix(words[0], "--") || !strings.HasPrefix(words[1], "/") {
		return false
	}
	c.From, c.To = words[0], words[1]
	switch other := slices.IndexFunc(r.Copies, func(o Copy) bool { return o.Image != "" && o.Image != c.Image }); {
	case c.Image == "" && strings.Trim(c.From, "./") != FunctionDir:
		return false // there is nothing else in the context
	case c.Image != "" && other >= 0:
		return false
	}
	r.Copies = append(r.Copies, c)
	return true
}
