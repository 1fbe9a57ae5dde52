# Shortcuts for people who work on taskctl. `just` lists them.

default:
    @just --list

# Everything CI checks.
ci:
    .ci/run

# Unit tests of one crate.
test crate:
    cargo test -p {{crate}}

# Snapshots that changed.
review:
    cargo insta review

# The stack on this machine.
up:
    cargo run -- deploy --local -f platform

# Figures in docs/performance.md.
bench:
    python3 tests/bench/stack.py

# Clients that people use, against the local target.
clients:
    cargo build -p taskctl
    python3 tests/clients/run.py target/debug/taskctl

# What only an account of AWS can settle: needs credentials and an empty region; prints its cost, then asks for the account.
aws-conformance:
    cargo test --workspace --test integration -- --ignored --nocapture --exact aws::an_account_answers
