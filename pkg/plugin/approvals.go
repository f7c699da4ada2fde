package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
)

func (o *options) approvals() *cobra.Command {
	cmd := &cobra.Command{Use: "approvals", Short: "Approvals: actions that a supervised agent asks to be allowed"}
	cmd.AddCommand(o.listApprovals(), o.showApproval(),
		o.decide("grant", v1alpha1.ApprovalGranted, "Let the agent act"), o.decide("deny", v1alpha1.ApprovalDenied, "Do not let the agent act"))
	return cmd
}

func (o *options) listApprovals() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "list AGENT", Short: "List what an agent asked for, and what was decided within the last hour", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := o.requests(cmd.Context(), args[0], nil)
			if err != nil {
				return err
			}
			if output != "" {
				return write(o.Out, output, list)
			}
			return o.approvalTable(args[0], list.Items)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	return cmd
}

// requests of an agent, as the receiver has them.
func (o *options) requests(ctx context.Context, agent string, query url.Values) (*v1alpha1.ApprovalRequestList, error) {
	list := &v1alpha1.ApprovalRequestList{}
	return list, o.with(ctx, func(r *receiver) error {
		return r.get(ctx, http.MethodGet, receiverv1.ApprovalsPath(o.namespace, agent), query, list)
	})
}

func (o *options) approvalTable(agent string, all []v1alpha1.ApprovalRequest) error {
	if len(all) == 0 {
		fmt.Fprintf(o.ErrOut, "Agent %s asks for nothing.\n", line(agent))
		return nil
	}
	w := printers.GetNewTabWriter(o.Out)
	fmt.Fprintln(w, "ID\tACTION\tDECISION\tBY\tLEFT\tAGE")
	for i := range all {
		r := &all[i]
		decision, left := string(r.Status.Decision), "-"
		if decision == "" {
			decision, left = "pending", duration.HumanDuration(max(0, time.Until(r.Spec.Deadline.Time)))
		}
		by := r.Status.DecidedBy
		if by == "" {
			by = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", line(r.Spec.ID), line(r.Spec.Action), line(decision), line(by), left, duration.HumanDuration(time.Since(r.CreationTimestamp.Time)))
	}
	return w.Flush()
}

func (o *options) showApproval() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "show AGENT ID", Short: "Show what an agent asked for", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "" {
				return errEmptyID
			}
			list, err := o.requests(cmd.Context(), args[0], url.Values{receiverv1.ParamID: {args[1]}})
			if err != nil {
				return err
			}
			for i := range list.Items {
				if output != "" {
					err = write(o.Out, output, &list.Items[i])
				} else {
					err = o.describeApproval(&list.Items[i])
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	return cmd
}

func (o *options) describeApproval(r *v1alpha1.ApprovalRequest) error {
	w := printers.GetNewTabWriter(o.Out)
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s:\t%s\n", name, line(value))
		}
	}
	field("ID", r.Spec.ID)
	field("Agent", r.Namespace+"/"+r.Spec.Agent)
	field("Action", r.Spec.Action)
	field("Deadline", r.Spec.Deadline.UTC().Format(time.RFC3339)+", then "+r.Spec.TimeoutAction)
	for _, n := range r.Status.Notices {
		asked := n.Error
		if n.Time != nil {
			asked = "asked at " + n.Time.UTC().Format(time.RFC3339)
		}
		field("Provider "+string(n.Provider), asked)
	}
	for _, c := range r.Status.Consents {
		field("Consent", fmt.Sprintf("%s, for provider %s", c.By, c.Provider))
	}
	field("Decision", string(r.Status.Decision))
	field("Decided by", r.Status.DecidedBy)
	field("Reason", r.Status.Reason)
	if err := w.Flush(); err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(r.Spec.Data), "", "  "); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "\n%s\n", block(indented.String()))
	return nil
}

func (o *options) decide(verb string, decision v1alpha1.ApprovalDecision, short string) *cobra.Command {
	d := receiverv1.ApprovalDecision{Decision: decision}
	cmd := &cobra.Command{
		Use: verb + " AGENT ID", Short: short, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "" {
				return errEmptyID
			}
			return o.with(cmd.Context(), func(r *receiver) error {
				var decided v1alpha1.ApprovalRequest
				if err := r.post(cmd.Context(), receiverv1.ApprovalsPath(o.namespace, args[0]), url.Values{receiverv1.ParamID: {args[1]}}, d, &decided); err != nil {
					return err
				}
				if decided.Status.Decision == "" {
					fmt.Fprintf(o.Out, "%s: %d of %d have consented\n", line(decided.Spec.ID), len(decided.Status.Consents), len(decided.Spec.Providers))
					return nil
				}
				fmt.Fprintf(o.Out, "%s %s\n", line(decided.Spec.ID), line(string(decided.Status.Decision)))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&d.Reason, "reason", "", "Why, for the agent and whoever looks")
	if decision == v1alpha1.ApprovalGranted {
		cmd.Flags().StringVar((*string)(&d.Provider), "provider", "", "Where several have to consent: for whom; default the first that has not")
	}
	return cmd
}
