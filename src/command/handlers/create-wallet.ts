import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { parseDescriptor, type ParsedDescriptor } from '../../bitcoin/descriptors/parse-descriptor.js';
import { descriptorKey } from '../../bitcoin/descriptors/descriptor-key.js';
import type { Signer } from '../../domain/events/wallet-events.js';
import { isRejection, reject, type Rejection } from '../../domain/rejection.js';
import { createWallet } from '../../domain/wallet/create-wallet.js';
import { walletStream, type WalletState } from '../../domain/wallet/wallet-state.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import type { CommandOutcome, CommandScope } from '../run-command.js';
import type { DecideResult } from '../stream-decider.js';

/** Scripts watched beyond the last one used; 20 is what every wallet assumes (BIP44). */
export const DEFAULT_GAP_LIMIT = 20;

export interface CreateWalletInput {
  walletId: string;
  descriptor: string | undefined;
  changeDescriptor: string | undefined;
  gapLimit: number | undefined;
  signer: Signer | undefined;
}

export class CreateWalletCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: CreateWalletInput,
  ) {}
}

/** Canonical descriptors of the two branches. */
interface Branches {
  descriptor: string | null;
  changeDescriptor: string | null;
}

interface Facts {
  branches: Branches | Rejection;
  descriptorUsedBy: string | undefined;
}

type Result = DecideResult<Readonly<Record<string, unknown>>>;

@CommandHandler(CreateWalletCommand)
export class CreateWalletHandler implements ICommandHandler<CreateWalletCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  async execute({ context, input }: CreateWalletCommand): Promise<CommandOutcome> {
    const { runner, sharedClaims, knownPayers } = this.parts;
    const stream = walletStream(input.walletId);
    const request = { name: 'create-wallet', input: { ...input }, status: 201 as const };
    const outcome = await runner.run(context, request, stream, (scope) =>
      // One at a time, in all processes, so that two wallets with the same descriptor cannot both find it free.
      sharedClaims.run('descriptor', () => this.#decide(input, stream, scope)),
    );
    if (outcome.kind === 'done' && outcome.body['descriptor'] !== null) knownPayers.add(input.walletId);
    return outcome;
  }

  #decide(input: CreateWalletInput, stream: string, scope: CommandScope): Promise<Result> {
    const { walletId } = input;
    const signer = input.signer ?? 'none';
    return this.parts.wallets.run<Facts, Readonly<Record<string, unknown>>>({
      stream,
      prepare: ({ newest }) => this.#facts(input, signer, newest),
      decide: (state, { branches, descriptorUsedBy }) => {
        if (state.created === null && isRejection(branches)) return branches;
        const { descriptor, changeDescriptor } = isRejection(branches) ? NO_BRANCHES : branches;
        const gapLimit = input.gapLimit ?? DEFAULT_GAP_LIMIT;
        const { network } = this.parts;
        const wallet = { walletId, network, descriptor, changeDescriptor, gapLimit, signer };
        const events = createWallet(wallet, state, { descriptorUsedBy });
        return isRejection(events) ? events : { events, detail: { walletId, descriptor, changeDescriptor, signer } };
      },
      toAppend: ({ events, detail }) => scope.toAppend(events, detail),
    });
  }

  async #facts(input: CreateWalletInput, signer: Signer, state: WalletState): Promise<Facts> {
    // Nothing is looked up or made for a wallet that is there already.
    if (state.created !== null) return { branches: NO_BRANCHES, descriptorUsedBy: undefined };
    const branches = await this.#branches(input, signer);
    if (isRejection(branches)) return { branches, descriptorUsedBy: undefined };
    const used = [branches.descriptor, branches.changeDescriptor].filter((text) => text !== null).map(descriptorKey);
    if (used.length === 0) return { branches, descriptorUsedBy: undefined };
    await this.parts.reads.catchUp();
    return { branches, descriptorUsedBy: await this.parts.reads.walletWithDescriptor(used) };
  }

  async #branches(input: CreateWalletInput, signer: Signer): Promise<Branches | Rejection> {
    const { network, keys } = this.parts;
    const given = this.#given(input);
    if (isRejection(given) || signer !== 'local') return given;
    if (network !== 'regtest' && network !== 'signet') {
      return reject('signer-not-allowed', `Signer 'local' is for regtest and signet, not for ${network}.`);
    }
    const local = await keys.ensure(input.walletId);
    if (given.descriptor === null) return branchesOf(parseDescriptor(local.descriptor, network), null);
    const texts = [given.descriptor, given.changeDescriptor].filter((text) => text !== null);
    if (texts.every((text) => text.includes(local.accountKey))) return given;
    return reject('descriptor-invalid', "Signer 'local' makes its own keys: leave the descriptor out.");
  }

  #given(input: CreateWalletInput): Branches | Rejection {
    if (input.descriptor === undefined) {
      return input.changeDescriptor === undefined
        ? NO_BRANCHES
        : reject('descriptor-invalid', 'A changeDescriptor needs a descriptor.');
    }
    const { network } = this.parts;
    const change = input.changeDescriptor === undefined ? null : parseDescriptor(input.changeDescriptor, network);
    return branchesOf(parseDescriptor(input.descriptor, network), change);
  }
}

const NO_BRANCHES: Branches = { descriptor: null, changeDescriptor: null };

type Parsed = ReturnType<typeof parseDescriptor>;

function branchesOf(main: Parsed, change: Parsed | null): Branches | Rejection {
  if ('invalid' in main) return reject('descriptor-invalid', main.invalid);
  if (change === null) return textsOf(main);
  if ('invalid' in change) return reject('descriptor-invalid', `changeDescriptor: ${change.invalid}`);
  if (main.change !== null || change.change !== null) {
    return reject('descriptor-invalid', 'A multipath descriptor gives both branches: leave changeDescriptor out.');
  }
  return textsOf({ receive: main.receive, change: change.receive });
}

function textsOf({ receive, change }: ParsedDescriptor): Branches | Rejection {
  if (change !== null && descriptorKey(change.text) === descriptorKey(receive.text)) {
    return reject('descriptor-invalid', 'The change branch must not be the same as the receiving one.');
  }
  return { descriptor: receive.text, changeDescriptor: change?.text ?? null };
}
