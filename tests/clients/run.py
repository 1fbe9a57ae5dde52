"""Tries clients that people use against the local target: AWS CLI 1, boto3, the JavaScript SDK and, where it is installed, Terraform.

    python3 tests/clients/run.py target/debug/taskctl

installs them from PyPI and npm into a temporary folder, starts a local target of its own and prints a line for each."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(command, env, cwd, **more):
    done = subprocess.run([str(part) for part in command], env=env, cwd=cwd, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main():
    taskctl = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="taskctl-clients-") as name:
        folder = Path(name)
        (folder / "home").mkdir()
        env = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ} | {
            "HOME": str(folder / "home"),
            "TASKCTL_LOCAL_ROOT": str(folder / "local"),
            "TASKCTL_LOCAL_PORT": str(free_port()),
            "TASKCTL_LOCAL_WEBSITE_PORT": str(free_port()),
        }
        install = env | {key: value for key, value in os.environ.items() if key.lower().startswith(("pip_", "npm_", "http"))}
        install["HOME"] = os.environ.get("HOME", "/")
        run([sys.executable, "-m", "venv", folder / "venv"], install, folder)
        run([folder / "venv/bin/pip", "install", "--quiet", "awscli<2", "boto3"], install, folder)
        packages = ["@aws-sdk/client-s3", "@aws-sdk/client-dynamodb", "@aws-sdk/client-sts", "@aws-sdk/s3-request-presigner"]
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", *packages], install, folder)
        shutil.copy(HERE / "client.mjs", folder)
        # What installs the emulator asks the same registry as pip does here.
        run([taskctl, "local", "up"], install | env, folder)
        try:
            key = json.loads(run([taskctl, "local", "env", "--output", "json"], env, folder))
            client = env | {
                "AWS_ENDPOINT_URL": key["endpointUrl"],
                "AWS_REGION": key["region"],
                "AWS_DEFAULT_REGION": key["region"],
                "AWS_ACCESS_KEY_ID": key["accessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"],
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            aws(folder, taskctl, env)
            print("boto3:", run([folder / "venv/bin/python", HERE / "client.py"], client, folder).strip())
            print("JavaScript SDK:", run(["node", folder / "client.mjs"], client, folder).strip())
            terraform(folder, client)
        finally:
            run([taskctl, "local", "down"], env, folder)


def aws(folder, taskctl, env):
    """As the page on other clients says."""
    large = folder / "large"
    large.write_bytes(os.urandom(20 * 1024 * 1024))
    script = f"""
        set -eu
        eval "$({taskctl} local env)"
        aws --version >&2
        aws dynamodb list-tables > /dev/null
        aws s3 mb s3://cli > /dev/null
        aws s3 cp {large} s3://cli/large > /dev/null
        aws s3 cp s3://cli/large {large}.back > /dev/null
        cmp {large} {large}.back
        aws s3 presign s3://cli/large > /dev/null
        aws s3 rb --force s3://cli > /dev/null
        aws sts get-caller-identity --query Arn --output text
    """
    path = f"{folder}/venv/bin:{env['PATH']}"
    print("AWS CLI:", run(["sh", "-c", script], env | {"PATH": path}, folder).strip())


def terraform(folder, env):
    if not shutil.which("terraform"):
        print("Terraform: not installed")
        return
    project = folder / "terraform"
    project.mkdir()
    shutil.copy(HERE / "main.tf", project)
    config = {key: value for key, value in os.environ.items() if key.startswith("TF_")}
    made = subprocess.run(["terraform", "init", "-no-color"], cwd=project, env=env | config, capture_output=True, text=True)
    if made.returncode != 0:
        print("Terraform: its AWS provider cannot be had:", made.stderr.strip().splitlines()[-1])
        return
    for command in ("apply", "destroy"):
        run(["terraform", command, "-auto-approve", "-no-color"], env | config, project)
    print("Terraform: applied and destroyed")


if __name__ == "__main__":
    main()
