"""Asks Bitcoin Core's own validation engine about the inputs of signed transactions.

Reads one JSON object per line from stdin, {"transaction": hex, "coins": [[amount in satoshis, script hex], ...]}, the coins in the order of
the inputs; writes one JSON list per line to stdout, for each input "good" or why not.
"""

import json
import sys

import pbk
from pbk.script import PrecomputedTransactionData


def verdict(script, amount, transaction, data, index) -> str:
    try:
        good = script.verify(amount, transaction, data, index, pbk.ScriptVerificationFlags.ALL)
        return "good" if good else "bad"
    except pbk.ScriptVerifyException as error:
        return str(error)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        transaction = pbk.Transaction(bytes.fromhex(request["transaction"]))
        scripts = [(amount, pbk.ScriptPubkey(bytes.fromhex(script))) for amount, script in request["coins"]]
        data = PrecomputedTransactionData(transaction, [pbk.TransactionOutput(script, amount) for amount, script in scripts])
        verdicts = [verdict(script, amount, transaction, data, index) for index, (amount, script) in enumerate(scripts)]
        print(json.dumps(verdicts), flush=True)


main()
