#!/usr/bin/env bash
# Writes runtimes/go/sdk: the module that functions in Go are built with. It is
# this one without all that a function does not need: links to the files, and a
# go.mod and go.sum with just their dependencies in the versions of this module.
set -euo pipefail
cd "$(dirname "$0")/.."

module=$(go list -m)
sdk=runtimes/go/sdk
packages=(./pkg/lambda ./pkg/lambda/lambdatest ./runtimes/go/build)

rm -rf $sdk
mkdir -p $sdk
go list -deps -f '{{if and .Module .Module.Main}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .IgnoredGoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{end}}' "${packages[@]}" |
  while read -r file; do
    file=${file#"$PWD"/}
    [[ -z $file || $file == *_test.go ]] && continue
    mkdir -p "$sdk/$(dirname "$file")"
    ln -s "$(realpath --relative-to="$sdk/$(dirname "$file")" "$file")" "$sdk/$file"
  done

{
  echo "module $module"
  echo
  sed -n 's/^go /&/p' go.mod
  echo "require ("
  go list -deps -f '{{with .Module}}{{if not .Main}}	{{.Path}} {{.Version}}{{end}}{{end}}' "${packages[@]}" | sort -u
  echo ")"
} >$sdk/go.mod
cp go.sum $sdk/
(cd $sdk && GOFLAGS=-mod=mod GOWORK=off go mod tidy)
