"""What the fuzzer cannot know of the ledger by its schemas alone. Loaded by schemathesis, for REST and for GraphQL."""

import itertools
import os
import re

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

ACCOUNTS = ["alice", "bob"]
WALLETS = ["hot"]
BLOCK_HASHES = os.environ["FUZZ_BLOCK_HASHES"].split(",")
ADDRESS = os.environ["FUZZ_ADDRESS"]

VALID_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
# Without quotes and spaces: those keys are sent as they were made.
PLAIN_KEY = re.compile(r"[!#-+\--~]{1,200}")
POSITION = re.compile(r"0|[1-9][0-9]{0,18}")
# Blocks at once: the schema allows 10,000, which only takes long.
MOST_BLOCKS = 5
calls = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps what is right and what is wrong with a request, and leads half of the valid ones to things that are there."""
    turn = next(calls)
    key = (case.headers or {}).get("Idempotency-Key")
    # Most random keys are the same few short ones. Every fourth is left as it is, for replays and reuse.
    if isinstance(key, str) and turn % 4 != 0 and PLAIN_KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = f"{key}-{turn}"
    # A position that will never come is waited for two seconds, and a 503 then is right: there are tests for that.
    if POSITION.fullmatch(str((case.headers or {}).get("Ledger-Min-Position"))):
        case.headers["Ledger-Min-Position"] = str(turn % 100)
    if turn % 2 == 0:
        lead_to_known(case.path_parameters, "accountId", ACCOUNTS[turn % 4 // 2 : turn % 4 // 2 + 1])
        lead_to_known(case.path_parameters, "walletId", WALLETS)
        lead_to_known(case.body, "fromAccountId", ACCOUNTS[:1])
        lead_to_known(case.body, "toAccountId", ACCOUNTS[1:])
    if case.path.startswith("/dev/chain/") and isinstance(case.body, dict):
        for name in ("blocks", "depth"):
            count = case.body.get(name)
            # A whole number may be a float here: 1000.0 is an integer in JSON.
            if isinstance(count, (int, float)) and MOST_BLOCKS < count <= 10_000 and count == int(count):
                case.body[name] = 1 + int(count) % MOST_BLOCKS
        if turn % 2 == 0 and isinstance(case.body.get("address"), str) and len(case.body["address"]) <= 200:
            case.body["address"] = ADDRESS


def lead_to_known(values, name, known):
    value = values.get(name) if isinstance(values, dict) else None
    if isinstance(value, str) and VALID_ID.fullmatch(value):
        values[name] = known[0]


@schemathesis.check
def tells_nothing_of_the_inside(ctx, response, case):
    """No stack, no path of a source file, no SQL in any answer."""
    found = re.search(r"\bat [^\n]*\.(js|ts):\d+|node_modules|/dist/|SELECT .* FROM|INSERT INTO", response.text)
    assert found is None, f"an answer tells of the inside: {found.group(0)}"


GRAPHQL_CODES = {"BAD_USER_INPUT", "QUERY_TOO_COMPLEX", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"}


@schemathesis.check
def graphql_errors_have_a_known_code(ctx, response, case):
    if case.path != "/graphql" or "json" not in response.headers["content-type"][0]:
        return
    for error in response.json().get("errors", []):
        code = error.get("extensions", {}).get("code")
        assert code in GRAPHQL_CODES, f"an error of GraphQL has the code {code}: {error['message']}"


def mostly(known, odd):
    return st.one_of(st.sampled_from(known), st.sampled_from(known), odd).map(nodes.String)


HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
schemathesis.graphql.scalar("ID", mostly([*ACCOUNTS, *WALLETS], st.text(max_size=70)))
schemathesis.graphql.scalar("Position", mostly([str(n) for n in range(0, 120, 7)], st.integers().map(str)))
schemathesis.graphql.scalar("BlockHash", mostly(BLOCK_HASHES, HEX))
schemathesis.graphql.scalar("Txid", HEX.map(nodes.String))
schemathesis.graphql.scalar("Sats", st.integers().map(str).map(nodes.String))
