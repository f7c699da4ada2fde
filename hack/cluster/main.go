// Command cluster runs a whole Knative on this machine: Kubernetes, Knative
// Serving and an ingress, built from Go modules and Debian's packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/addons"
	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/control"
	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

const usage = `usage: go run ./hack/cluster up|down|status|logs [process]|restart|stop|start|pause|resume process|cut|mend|rabbitmqctl|env|configure

  up         bring up the local cluster, or what of it does not run
             --with=eventing   Knative Eventing with brokers on RabbitMQ, too
             --with=minio      an object store, too
             --force           although KUBECONFIG names another cluster
  down       end and remove all of it; what was built is kept
  status     what runs
  logs       where the logs are, or the end of one
  restart    end one of the processes and start it again
  stop       end one of the processes until start
  start      start it again as it was
  pause      have one of the processes do nothing until resume
  resume     have it go on
  cut        keep pods from the API server until mend:
             --namespace=knative-lambda --selector=app=knative-lambda-controller
  mend       let them through again
  rabbitmqctl ARGS…  control RabbitMQ, for example set_disk_free_limit 100MB
  env        the environment in which kubectl, ko and the tests use it
  configure  set the operator's ConfigMaps for it

docs/local-cluster.md says more.
`

func main() {
	os.Exit(program())
}

func program() int {
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		flag.Usage()
		return errors.New("say what to do")
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	flags.Usage = flag.Usage
	var with []string
	flags.Func("with", "parts to switch on, separated by commas", func(names string) error {
		with = append(with, strings.FieldsFunc(names, func(r rune) bool { return r == ',' })...)
		return nil
	})
	namespace := flags.String("namespace", "knative-lambda", "of the pods to cut off")
	selector := flags.String("selector", "app=knative-lambda-controller", "of the pods to cut off")
	force := flags.Bool("force", false, "bring it up although KUBECONFIG names another cluster")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	e, err := env.New(os.Stderr, with)
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(ctx, e, *force)
	case "down":
		return locked(e, func() error { return control.Down(ctx, e) })
	case "status":
		return status(e)
	case "logs":
		return logs(e, flags.Arg(0))
	case "restart", "stop", "start", "pause", "resume":
		do := map[string]func(string) error{"restart": e.Restart, "stop": e.Stop, "start": e.StartAgain, "pause": e.Pause, "resume": e.Resume}[args[0]]
		return locked(e, func() error { return do(flags.Arg(0)) })
	case "cut":
		return locked(e, func() error { return control.Cut(ctx, e, *namespace, *selector) })
	case "mend":
		return locked(e, func() error { return control.Mend(ctx, e) })
	case "rabbitmqctl":
		out, err := addons.ControlRabbitMQ(ctx, e, flags.Args())
		fmt.Print(out)
		return err
	case "env":
		return printEnv(ctx, e)
	case "configure":
		return addons.Configure(ctx, e)
	}
	flag.Usage()
	return fmt.Errorf("there is no %q", args[0])
}

func up(ctx context.Context, e *env.Env, force bool) error {
	if goruntime.GOOS != "linux" || os.Geteuid() != 0 {
		return errors.New("the local cluster needs Linux and root. On another machine use kind or a cluster of your own: README.md, \"On your own cluster\"")
	}
	if other := os.Getenv("KUBECONFIG"); other != "" && other != e.Kubeconfig() && !force {
		return fmt.Errorf("KUBECONFIG names another cluster (%s), which is left alone: unset it, or say up --force", other)
	}
	return locked(e, func() error {
		start := time.Now()
		// Kubernetes is waited for first, so it is built first.
		parts := append(control.Parts(), addons.Parts()...)
		if err := e.Up(ctx, parts); err != nil {
			return fmt.Errorf("%w\nlogs: %s", err, e.Path("logs"))
		}
		e.Say("cluster", "up in %v; kubectl: export KUBECONFIG=%s", time.Since(start).Round(time.Second), e.Kubeconfig())
		return nil
	})
}

// locked keeps two of these programs from working on one cluster, and removes
// what one that was killed left half made.
func locked(e *env.Env, do func() error) error {
	if err := os.MkdirAll(e.Dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(e.Dir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd()) //nolint:gosec // a small number
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		e.Say("cluster", "waiting for another %s", filepath.Base(os.Args[0]))
		if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
			return err
		}
	}
	if err := e.Sweep(); err != nil {
		return err
	}
	return do()
}

func status(e *env.Env) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "PROCESS\tPID\tSTATE\tSINCE\tLOG")
	records := e.Records()
	ended := 0
	for _, r := range records {
		state := "running"
		if !r.Alive() {
			state = "ended"
			ended++
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", r.Name, r.PID, state, r.Since.Format(time.DateTime), e.Log(r.Name))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case len(records) == 0:
		return errors.New("the local cluster is down")
	case ended > 0:
		return fmt.Errorf("%d processes have ended; up starts them again", ended)
	}
	return nil
}

func logs(e *env.Env, name string) error {
	if name == "" {
		for _, r := range e.Records() {
			fmt.Println(e.Log(r.Name))
		}
		return nil
	}
	if _, err := os.Stat(e.Log(name)); err != nil {
		return fmt.Errorf("there is no process %q; what a pod says is told by kubectl logs", name)
	}
	fmt.Println(e.Tail(name, 200))
	return nil
}

func printEnv(ctx context.Context, e *env.Env) error {
	ingress, err := addons.Ingress(e)
	if err != nil {
		return errors.New("the local cluster is down: bring it up with go run ./hack/cluster up")
	}
	kubernetes, err := e.Kubernetes(ctx)
	if err != nil {
		return err
	}
	ko, err := e.Build(ctx, "ko", "", "github.com/google/ko")
	if err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s\nexport LAMBDA_INGRESS=%s\n", e.Kubeconfig(), ingress)
	for _, v := range append(addons.KoEnv("lambda"), e.Exports()...) {
		fmt.Println("export " + v)
	}
	path := ko + ":$PATH"
	if _, err := exec.LookPath("kubectl"); err != nil {
		path = kubernetes + ":" + path
	}
	fmt.Printf("export PATH=%s\n", path)
	return nil
}
