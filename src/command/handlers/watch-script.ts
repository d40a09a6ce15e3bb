import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { addressToScript, scriptToAddress } from '../../bitcoin/descriptors/address-script.js';
import { isRejection, reject, type Rejection } from '../../domain/rejection.js';
import { watchScript, type WatchFacts, type WatchScript } from '../../domain/wallet/watch-script.js';
import { walletStream } from '../../domain/wallet/wallet-state.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import type { CommandOutcome, CommandScope } from '../run-command.js';
import type { DecideResult } from '../stream-decider.js';

/** Consensus lets no longer script be spent (Bitcoin Core, MAX_SCRIPT_SIZE). */
const MAX_SCRIPT_BYTES = 10_000;

export interface WatchScriptInput {
  walletId: string;
  accountId: string | null;
  /** One of the two. */
  script: string | undefined;
  address: string | undefined;
}

export class WatchScriptCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: WatchScriptInput,
  ) {}
}

type Result = DecideResult<Readonly<Record<string, unknown>>>;

@CommandHandler(WatchScriptCommand)
export class WatchScriptHandler implements ICommandHandler<WatchScriptCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  execute({ context, input }: WatchScriptCommand): Promise<CommandOutcome> {
    const { runner, sharedClaims } = this.parts;
    const stream = walletStream(input.walletId);
    return runner.run(
      context,
      { name: 'watch-script', input: { ...input }, status: 201 },
      stream,
      async (scope): Promise<Result> => {
        const watched = this.#watched(input);
        if (isRejection(watched)) return { kind: 'rejected', rejection: watched, uncertain: false };
        return await sharedClaims.run(`script:${watched.script}`, () => this.#decide(watched, stream, scope));
      },
    );
  }

  #watched({ walletId, accountId, script, address }: WatchScriptInput): WatchScript | Rejection {
    const { network } = this.parts;
    if (address !== undefined) {
      const decoded = addressToScript(address, network);
      if (decoded === undefined) return reject('address-invalid', `This is not an address of ${network}.`);
      return { walletId, accountId, script: Buffer.from(decoded).toString('hex'), address };
    }
    const hex = (script ?? '').toLowerCase();
    if (!/^([0-9a-f]{2})+$/.test(hex) || hex.length > 2 * MAX_SCRIPT_BYTES) {
      return reject('script-invalid', `A script is 1 to ${MAX_SCRIPT_BYTES} bytes in hex.`);
    }
    return { walletId, accountId, script: hex, address: scriptToAddress(Buffer.from(hex, 'hex'), network) };
  }

  #decide(watched: WatchScript, stream: string, scope: CommandScope): Promise<Result> {
    return this.parts.wallets.run<WatchFacts & { lookedUpEvents: number }, Readonly<Record<string, unknown>>>({
      stream,
      prepare: async ({ committed }) => ({ ...(await this.#facts(watched)), lookedUpEvents: committed.events }),
      decide: (state, facts) => {
        // What the stream has forgotten of its scripts must lie before what was looked up.
        if (facts.lookedUpEvents < state.recentScripts.since) return 'again';
        const events = watchScript(watched, state, facts);
        return isRejection(events) ? events : { events, detail: { script: watched.script, address: watched.address } };
      },
      toAppend: ({ events, detail }) => scope.toAppend(events, detail),
    });
  }

  async #facts({ accountId, script }: WatchScript): Promise<WatchFacts> {
    const { knownAccounts, reads } = this.parts;
    const accountExists = accountId === null || (await knownAccounts.exists(accountId));
    if (!accountExists) return { accountExists, watchedBy: undefined };
    await reads.catchUp();
    const owners = await reads.scriptOwners([script]);
    return { accountExists, watchedBy: owners.get(script)?.walletId };
  }
}
