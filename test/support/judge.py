"""Asks Bitcoin Core's own validation engine about blocks.

Reads one raw block as hex per line from stdin, writes one JSON object per block and one for the end to stdout:

  {"hash", "accepted", "verdict", "reason", "height", "tip", "disconnected": [hash]}
  {"tip": {"height", "hash"}, "spent": {block hash: [[amount, script hex, height, coinbase], ...]}}

A block that fails only when it is connected raises nothing here: its verdict comes by a callback, and the height stays.
"""

import json
import shutil
import sys
import tempfile

import pbk


def main() -> None:
    last = {}
    log_lines = []
    disconnected = []

    def on_checked(unused, block, state):
        last["verdict"] = state.validation_mode.name
        last["result"] = state.block_validation_result.name

    def on_disconnected(unused, block, entry):
        disconnected.append(str(block.block_hash))

    callbacks = pbk.ValidationInterfaceCallbacks(block_checked=on_checked, block_disconnected=on_disconnected)
    connection = pbk.LoggingConnection(log_lines.append)  # stops logging when it is collected
    context = pbk.make_context(pbk.ChainType.REGTEST, callbacks)
    folder = tempfile.mkdtemp(prefix="tallystick-test-judge-")
    try:
        options = pbk.ChainstateManagerOptions(context, folder, folder + "/blocks")
        options.update_block_tree_db_in_memory(True)
        options.update_chainstate_db_in_memory(True)
        manager = pbk.ChainstateManager(options)
        with_spent = "--spent" in sys.argv
        for line in sys.stdin:
            block = pbk.Block(bytes.fromhex(line.strip()))
            last.clear()
            log_lines.clear()
            disconnected.clear()
            accepted = True
            try:
                manager.process_block(block)
            except pbk.ProcessBlockException as error:
                accepted = False
                last.setdefault("result", str(error.code))
            reason = next((text.strip() for text in log_lines if "error" in text.lower()), "")
            chain = manager.get_active_chain()
            print(
                json.dumps(
                    {
                        "hash": str(block.block_hash),
                        "accepted": accepted and last.get("verdict", "VALID") == "VALID",
                        "verdict": last.get("verdict", "stored" if accepted else "rejected"),
                        "reason": (last.get("result", "") + " " + reason).strip(),
                        "height": chain.height,
                        "tip": str(chain.block_tree_entries[chain.height].block_hash),
                        "disconnected": list(disconnected),
                    }
                ),
                flush=True,
            )
        print(json.dumps(summary(manager, with_spent)), flush=True)
    finally:
        del connection
        shutil.rmtree(folder, ignore_errors=True)


def summary(manager, with_spent):
    chain = manager.get_active_chain()
    entries = chain.block_tree_entries
    spent = {}
    if with_spent:
        for height in range(1, chain.height + 1):
            entry = entries[height]
            coins = [
                [coin.output.amount, bytes(coin.output.script_pubkey).hex(), coin.confirmation_height, coin.is_coinbase]
                for transaction in manager.block_spent_outputs[entry].transactions
                for coin in transaction.coins
            ]
            if coins:
                spent[str(entry.block_hash)] = coins
    return {"tip": {"height": chain.height, "hash": str(entries[chain.height].block_hash)}, "spent": spent}


main()
