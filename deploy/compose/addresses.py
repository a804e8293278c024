#!/usr/bin/env python3
"""Where a deployment that is up can be looked at."""

import json
import subprocess
import sys

PAGES = {
    ("edge", 8080): "orders       {url}/orders   (API: {url}/openapi.json)",
    ("temporal", 8233): "Temporal UI  {url}",
    ("temporal-ui", 8080): "Temporal UI  {url}",
    ("jaeger", 16686): "Jaeger       {url}",
    ("prometheus", 9090): "Prometheus   {url}/alerts",
    ("grafana", 3000): "Grafana      {url}",
}


def main() -> None:
    """Print an address for each page that is published."""
    asked = ["docker", "compose", "ps", "--format", "json"]
    lines = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = {}
    for container in map(json.loads, filter(str.strip, lines)):
        for port in container["Publishers"] or []:
            if port["PublishedPort"]:
                found[container["Service"], port["TargetPort"]] = f"http://{port['URL']}:{port['PublishedPort']}"
    sys.stdout.write("\n")
    for where, page in PAGES.items():
        if where in found:
            sys.stdout.write(page.format(url=found[where]) + "\n")
    sys.stdout.write("audit        docker compose run --rm tools audit\n")


if __name__ == "__main__":
    main()
