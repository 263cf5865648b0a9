#!/usr/bin/env bash
# The steps of the pipelines, the same for Azure Pipelines and GitHub Actions: pipelines/run.sh STEP, in the checkout, for
# the stack $STACK. Files for later steps are in $AGENT_TEMPDIRECTORY or $RUNNER_TEMP, named imagefactory-STACK-...
#   plan          the plan, and what adopt and pulumi preview would do, into files; reads only
#   comment       that plan, or the errors, as comment on the pull request
#   up            adopt, then pulumi up
#   summary       what that did in each lab and what not, as Markdown and JSON, from the event logs of the engine
#   save          save the finished VMs of the factory, and delete those that are saved
#   prune         prune the factory to $KEEP images of each path
#   catalog       the page of the catalog, as $PAGE
#   status        which images each lab has, as $PAGE; fails if a lab is behind
#   wait          pass the signal on to a canceled step that still runs, and wait for it
#   after-cancel  likewise, then name the locks of the state and how to release them
# All output passes through imagefactory.neutral. A signal is passed on once to the running command, which then stops
# cleanly; no other one starts. Commands are in process groups of their own (-m), so an agent that kills this script 10 s
# after its first signal does not kill them, too.
set -euo pipefail -m

# The state holds no secret, so the passphrase that would encrypt one is empty.
export PULUMI_CONFIG_PASSPHRASE=""
files="${RUNNER_TEMP:-$AGENT_TEMPDIRECTORY}/imagefactory-$STACK"
child="" stopped="" token_keeper=""
policies=()
if [ -f "${POLICIES:=policies.json}" ]; then # docs/policies.md
  policies=(--policy-pack policies --policy-pack-config "$POLICIES")
fi

stop() {
  trap "" INT TERM # pulumi would abandon its lock at a second signal
  stopped=yes
  pass_on
}

pass_on() {
  if [ -n "$child" ] && [ "$stopped" = yes ]; then
    stopped=passed
    kill -INT "$child" || true
  fi
}

run() {
  [ -z "$stopped" ] || return 130
  "$@" </dev/null &
  child=$!
  echo "$$ $child" >"$files.pids"
  pass_on
  local code=0
  wait "$child" || code=$?
  while kill -0 "$child" 2>/dev/null; do # a signal ends `wait`, not the command
    code=0
    wait "$child" || code=$?
  done
  child=""
  [ -z "$stopped" ] || code=130
  return "$code"
}

start() {
  exec > >(exec python -m imagefactory.neutral) 2>&1
  filter=$!
  trap end EXIT
  trap stop INT TERM
  # GitHub: see imagefactory/token_file.py.
  if [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ] && [[ $step != @(comment|summary|wait_for_step) ]]; then
    if [ -n "${PULUMI_ORGANIZATION:-}" ]; then # state in Pulumi Cloud, which trusts the job's token
      keep_token "urn:pulumi:org:$PULUMI_ORGANIZATION"
      pulumi login --oidc-token "file://$files.token" --oidc-org "$PULUMI_ORGANIZATION" --oidc-expiration 12h
    else
      keep_token api://AzureADTokenExchange
      export AZURE_FEDERATED_TOKEN_FILE="$files.token"
    fi
  fi
}

keep_token() {
  python -m imagefactory.token_file "$files.token" "$1" &
  token_keeper=$!
  disown "$token_keeper" # bash would report its end
  until [ -s "$files.token" ]; do
    kill -0 "$token_keeper" 2>/dev/null || exit 1
    sleep 0.2
  done
}

end() {
  [ -z "$token_keeper" ] || kill "$token_keeper" 2>/dev/null || true
  rm -f "$files.pids" "$files.token"
  exec >&- 2>&-
  wait "$filter" || true
}

plan() {
  local code=0
  : >"$files-plan.md"
  : >"$files-errors.txt"
  if grep -Eq '^[^#]*storageAuth[^#]*\bkey\b' "Pulumi.$STACK.yaml"; then
    echo "Pulumi.$STACK.yaml: sets storageAuth to key; no pull request may be previewed with it." \
      "Take this stack out of the previews of the pipeline." | tee "$files-errors.txt"
    return 1
  fi
  # Not filtered, which would break its headings: no agent reads commands in this file.
  run imagefactory plan --stack "$STACK" --format markdown >"$files-plan.md" 2>"$files-errors.txt" || code=$?
  cat "$files-errors.txt" "$files-plan.md"
  # What the run on main would take over into the state before `pulumi up`.
  run imagefactory adopt --stack "$STACK" --dry-run >"$files-preview.txt" 2>&1 || code=$?
  run pulumi preview --stack "$STACK" --diff --non-interactive --color never "${policies[@]}" \
    >>"$files-preview.txt" 2>&1 ||
    { code=$? && echo "pulumi preview failed: see the run" >>"$files-errors.txt"; }
  python -m imagefactory.neutral <"$files-preview.txt" | tee "$files-preview.shown"
  # Markdown reads nothing in indented text; a fence could be closed by what stands in it.
  { printf '## pulumi preview of %s\n\n' "$STACK" && sed 's/^/    /' "$files-preview.shown"; } >"$files-preview.md"
  return "$code"
}

comment() {
  touch "$files-plan.md" "$files-errors.txt" # a plan that could not even start
  run imagefactory comment --stack "$STACK" --file "$files-plan.md" --errors "$files-errors.txt"
}

up() {
  local code=0
  # adopt: a killed run or a lost state leaves images that the state lacks, and `pulumi up` creates nothing in their place.
  # If it fails, everything else is served, and the step fails at its end.
  run imagefactory adopt --stack "$STACK" --yes || code=$?
  # The state is written once, at the end, not twice per resource: adopt makes up for a kill (docs/tasks/recover.md).
  export PULUMI_SKIP_CHECKPOINTS="${PULUMI_SKIP_CHECKPOINTS:-true}"
  # --skip-preview: a preview fails where a lab cannot be read, and then nobody would be served. The second run: a refresh
  # stops before anything is served where a resource cannot be read, and copies that failed go on where they are.
  # --event-log: what `summary` reads; the engine has it with PULUMI_DEBUG_COMMANDS.
  export PULUMI_DEBUG_COMMANDS=true
  rm -f "$files"-up.?.jsonl
  run pulumi up --stack "$STACK" --yes --skip-preview --refresh --continue-on-error \
    --parallel 256 --non-interactive --color never "${policies[@]}" --event-log "$files-up.1.jsonl" ||
    run pulumi up --stack "$STACK" --yes --skip-preview --continue-on-error \
      --parallel 256 --non-interactive --color never "${policies[@]}" --event-log "$files-up.2.jsonl" || code=$?
  return "$code"
}

summary() {
  local code=0 logs=("$files"-up.?.jsonl)
  [ -f "${logs[0]}" ] || return 0
  run imagefactory summary "${logs[@]}" --format json >"$files-summary.json" || code=$?
  run imagefactory summary "${logs[@]}" --format markdown >"$files-summary.md" || code=$?
  run imagefactory summary "${logs[@]}" ${IMAGEFACTORY_NOTIFY_URL:+--notify} || code=$?
  return "$code"
}

save() {
  local code=0
  run imagefactory save --stack "$STACK" || code=$?
  run imagefactory clean-vms --stack "$STACK" || code=$? # also if one was not saved
  return "$code"
}

prune() { run imagefactory prune --stack "$STACK" --keep "$KEEP" --yes; }

catalog() { run imagefactory catalog --stack "$STACK" --html "$PAGE"; }

status() { run imagefactory status --stack "$STACK" --html "$PAGE"; }

wait_for_step() {
  local script command
  if read -r script command 2>/dev/null <"$files.pids"; then
    echo "Waiting for the canceled step of stack $STACK to end."
    kill -INT "$script" 2>/dev/null || true # an agent signals the task around the script, or has killed the script
    timeout 120 tail --pid="$script" -f /dev/null || true
    timeout 60 tail --pid="$command" -f /dev/null || true
  fi
}

after_cancel() {
  wait_for_step
  run imagefactory doctor --stack "$STACK"
}

case "${1:-}" in
  plan | comment | up | summary | save | prune | catalog | status) step=$1 ;;
  wait) step=wait_for_step ;;
  after-cancel) step=after_cancel ;;
  *)
    echo "usage: pipelines/run.sh plan | comment | up | summary | save | prune | catalog | status | wait | after-cancel" >&2
    exit 2
    ;;
esac
start
"$step"
