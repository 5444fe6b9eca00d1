#!/usr/bin/env bash
# What can be checked of deploy/ without a cluster. Tools that are not here are named and passed over, the rest must pass.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
absent() { echo "not checked, $1 is not installed: $2"; }

python3 -c 'import ast, sys; ast.parse(open("ray/app.py").read())'
(cd ray && python3 app_test.py)
python3 - <<'END'
import json, re, sys
dashboard = json.load(open("monitoring/grafana.json"))
source = open("../src/server/metrics.cc").read() + open("../src/server/routes.cc").read()
for panel in dashboard["panels"]:
    for target in panel["targets"]:
        for name in re.findall(r"tessera_([a-z_]+?)(?:_bucket)?[\[){]", target["expr"]):
            if not re.search(rf'[" _]{name}["\\ ]', source) and f"tessera_{name}" not in source:
                sys.exit(f"grafana.json shows tessera_{name}, which the server does not have")
END
if command -v systemd-analyze >/dev/null; then systemd-analyze verify systemd/tessera.service 2>&1 | grep -v 'not executable' || true
else absent systemd-analyze systemd/tessera.service; fi
if kubectl version --request-timeout=2s >/dev/null 2>&1; then kubectl apply --dry-run=server -f kubernetes/tessera.yaml
elif python3 -c 'import yaml' 2>/dev/null; then 
  python3 -c 'import yaml; assert [d["kind"] for d in yaml.safe_load_all(open("kubernetes/tessera.yaml"))] == ["Deployment", "Service"]'
else absent "a cluster and PyYAML" kubernetes/tessera.yaml; fi
if command -v promtool >/dev/null; then promtool check config monitoring/prometheus.yml
else absent promtool monitoring/prometheus.yml; fi
if docker buildx version >/dev/null 2>&1; then docker buildx build --check -f Dockerfile ..; else absent 'docker buildx' Dockerfile; fi
echo ok
