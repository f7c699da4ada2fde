package plugin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
)

func (o *options) deadLetters() *cobra.Command {
	dlq := &cobra.Command{Use: "dlq", Short: "Dead letters: events that a function or an agent could not be given"}
	dlq.AddCommand(o.list(), o.show(), o.replay(), o.purge())
	return dlq
}

// withOwner calls do with a way to the receiver, and whose dead letters an argument
// names.
func (o *options) withOwner(ctx context.Context, arg string, do func(*receiver, owner) error) error {
	of, err := o.owner(arg)
	if err != nil {
		return err
	}
	return o.with(ctx, func(r *receiver) error { return do(r, of) })
}

// with calls do with a way to the receiver.
func (o *options) with(ctx context.Context, do func(*receiver) error) error {
	r, err := o.receiver(ctx)
	if err != nil {
		return err
	}
	defer r.stop()
	return do(r)
}

func (o *options) list() *cobra.Command {
	var output string
	limit := 100
	cmd := &cobra.Command{
		Use: "list [TYPE/]NAME", Short: "List dead letters, the oldest first", Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withOwner(cmd.Context(), args[0], func(r *receiver, of owner) error {
				var list receiverv1.DeadLetterList
				if err := r.get(cmd.Context(), http.MethodGet, of.path(), url.Values{receiverv1.ParamLimit: {strconv.Itoa(limit)}}, &list); err != nil {
					return err
				}
				if output != "" {
					return write(o.Out, output, list)
				}
				return o.table(of, list.Items)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	cmd.Flags().IntVar(&limit, "limit", limit, "How many to list at most, up to 1000")
	return cmd
}

func (o *options) table(of owner, letters []receiverv1.DeadLetter) error {
	if len(letters) == 0 {
		fmt.Fprintf(o.ErrOut, "%s %s has no dead letters.\n", strings.ToUpper(string(of.kind[:1]))+string(of.kind[1:]), of.name)
		return nil
	}
	w := printers.GetNewTabWriter(o.Out)
	fmt.Fprintln(w, "ID\tTYPE\tSOURCE\tCODE\tATTEMPTS\tSIZE\tAGE\tREASON")
	for _, l := range letters {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", line(l.ID), line(l.Type), line(l.Source), number(l.ErrorCode), number(l.Attempts), l.Size, age(l.DeadTime), line(l.ErrorReason))
	}
	return w.Flush()
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func age(dead string) string {
	t, err := time.Parse(time.RFC3339, dead)
	if err != nil {
		return "-"
	}
	return duration.HumanDuration(time.Since(t))
}

func write(out io.Writer, format string, what any) error {
	switch format {
	case "json":
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(what); err != nil {
			return err
		}
		_, err := io.WriteString(out, escapeJSON(text.String()))
		return err
	case "yaml":
		text, err := json.Marshal(what)
		if err != nil {
			return err
		}
		if text, err = yaml.JSONToYAML([]byte(escapeJSON(string(text)))); err != nil {
			return err
		}
		_, err = io.WriteString(out, block(string(text))) // YAML leaves format characters as they are
		return err
	}
	return fmt.Errorf("--output: expected json or yaml, got %q", format)
}

func (o *options) show() *cobra.Command {
	var output, source string
	cmd := &cobra.Command{
		Use: "show [TYPE/]NAME ID", Short: "Show a dead letter with its data", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			query, err := selection(cmd, args, false, source)
			if err != nil {
				return err
			}
			return o.withOwner(cmd.Context(), args[0], func(r *receiver, of owner) error {
				var list receiverv1.ShownDeadLetterList
				if err := r.get(cmd.Context(), http.MethodGet, of.path(), query, &list); err != nil {
					return err
				}
				if output != "" {
					return write(o.Out, output, list)
				}
				for i := range list.Items {
					if err := o.describe(&list.Items[i]); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	sourceFlag(cmd, &source)
	return cmd
}

func (o *options) describe(s *receiverv1.ShownDeadLetter) error {
	w := printers.GetNewTabWriter(o.Out)
	field := func(name, value string) {
		if value != "" && value != "0" {
			fmt.Fprintf(w, "%s:\t%s\n", name, line(value))
		}
	}
	field("ID", s.ID)
	field("Source", s.Source)
	field("Type", s.Type)
	field("Subject", s.Subject)
	field("Error code", strconv.Itoa(s.ErrorCode))
	field("Reason", s.ErrorReason)
	field("Attempts", strconv.Itoa(s.Attempts))
	field("Sent to", s.Origin)
	field("Died", s.DeadTime)
	data := s.Raw
	if len(s.Event) > 0 {
		e, err := ceio.Unmarshal(s.Event)
		if err != nil {
			return err
		}
		field("Content type", e.DataContentType())
		data = e.Data()
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "\n%s\n", block(string(data)))
	return nil
}

// selection is which dead letters a command is for: those of an id, and of a source if
// that is given, or all.
func selection(cmd *cobra.Command, args []string, all bool, source string) (url.Values, error) {
	given := cmd.Flags().Changed("source")
	switch {
	case len(args) == 2 && all:
		return nil, errors.New("expected an id or --all, got both")
	case len(args) == 2 && args[1] == "":
		return nil, errEmptyID
	case given && source == "":
		return nil, errors.New("--source: expected the source of an event, got an empty one")
	case len(args) == 2 && given:
		return url.Values{receiverv1.ParamID: {args[1]}, receiverv1.ParamSource: {source}}, nil
	case len(args) == 2:
		return url.Values{receiverv1.ParamID: {args[1]}}, nil
	case given:
		return nil, errors.New("--source: expected an id beside it")
	case !all:
		return nil, errors.New("expected the id of a dead letter, or --all")
	}
	return url.Values{receiverv1.ParamAll: {"true"}}, nil
}

// errEmptyID refuses an argument that is empty, as a variable is that is not set.
var errEmptyID = errors.New("expected an id, got an empty one")

// sourceFlag names the source of an event: it is identified by source and id together.
func sourceFlag(cmd *cobra.Command, source *string) {
	cmd.Flags().StringVar(source, "source", "", "Source of the event, where events of several sources have the ID")
}

func (o *options) replay() *cobra.Command {
	var all bool
	var source string
	cmd := &cobra.Command{
		Use: "replay [TYPE/]NAME [ID]", Short: "Redeliver dead letters",
		Long: "Redeliver dead letters to their original destination. Delivered events are removed from the queue; failed ones remain.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			query, err := selection(cmd, args, all, source)
			if err != nil {
				return err
			}
			return o.withOwner(cmd.Context(), args[0], func(r *receiver, of owner) error {
				response, err := r.do(cmd.Context(), http.MethodPost, receiverv1.ReplayPath(of.kind, of.namespace, of.name), query)
				if err != nil {
					return err
				}
				defer response.Body.Close()
				return o.progress(response.Body)
			})
		},
	}
	sourceFlag(cmd, &source)
	cmd.Flags().BoolVar(&all, "all", false, "All of them")
	return cmd
}

// progress tells of each letter when it has been sent.
func (o *options) progress(lines io.Reader) error {
	delivered, stay := 0, 0
	for decoder := json.NewDecoder(lines); ; {
		var l receiverv1.ReplayLine
		err := decoder.Decode(&l)
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintf(o.Out, "%d delivered, %d stay in the queue\n", delivered, stay)
			if stay > 0 {
				return errors.New("not all dead letters were delivered")
			}
			return nil
		case err != nil:
			return fmt.Errorf("after %d delivered: %w", delivered, err)
		case l.Problem != "":
			return fmt.Errorf("after %d delivered: %s", delivered, l.Problem)
		case l.Error != "":
			stay++
			fmt.Fprintf(o.Out, "%s\t%s\tnot delivered: %s\n", line(l.ID), line(l.Source), line(l.Error))
		default:
			delivered++
			fmt.Fprintf(o.Out, "%s\t%s\tdelivered (%d)\n", line(l.ID), line(l.Source), l.Status)
		}
	}
}

func (o *options) purge() *cobra.Command {
	var all, yes bool
	var source string
	cmd := &cobra.Command{
		Use: "purge [TYPE/]NAME [ID]", Short: "Remove dead letters for good", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			query, err := selection(cmd, args, all, source)
			if err != nil {
				return err
			}
			if all && !yes && !o.confirmed(fmt.Sprintf("Remove all dead letters of %s/%s for good?", o.namespace, line(args[0]))) {
				return errors.New("nothing was removed; --yes removes without asking")
			}
			return o.withOwner(cmd.Context(), args[0], func(r *receiver, of owner) error {
				var purged receiverv1.Purged
				if err := r.get(cmd.Context(), http.MethodDelete, of.path(), query, &purged); err != nil {
					return err
				}
				fmt.Fprintf(o.Out, "%d removed\n", purged.Purged)
				return nil
			})
		},
	}
	sourceFlag(cmd, &source)
	cmd.Flags().BoolVar(&all, "all", false, "All of them")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "Do not ask")
	return cmd
}

func (o *options) confirmed(question string) bool {
	fmt.Fprint(o.ErrOut, question+" [y/N] ")
	answer, err := bufio.NewReader(o.In).ReadString('\n')
	return (err == nil || answer != "") && strings.EqualFold(strings.TrimSpace(answer), "y")
}
