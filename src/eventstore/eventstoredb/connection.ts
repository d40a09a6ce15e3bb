import { readFileSync } from 'node:fs';
import {
  credentials as grpcCredentials,
  Metadata,
  status,
  type ChannelCredentials,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { discoverEndpoint } from '@eventstore/db-client/dist/Client/discovery.js';
import {
  parseConnectionString,
  type ConnectionOptions,
} from '@eventstore/db-client/dist/Client/parseConnectionString.js';
import streamsService from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import { FatalError, PlatformError, RetryableError } from '../../platform/errors.js';

/** As the server's largest event, and a little. */
const MAX_MESSAGE_BYTES = 17 * 1024 * 1024;
/** What the server may send ahead. With HTTP/2's own 64 KiB, 70 events and a round trip, a subscription waits most of the time. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** A peer that is silent for so long is dead, and pings ask it so often. The server allows no shorter time. */
const KEEP_ALIVE_MS = 10_000;
/** After an outage, of whatever length, the next try comes this soon: gRPC's own bound is two minutes. */
const MAX_RECONNECT_MS = 500;

export interface EventStoreConnection {
  /**
   * Calls the server, or the leader of the cluster where a call needs it.
   *
   * @throws RetryableError: whether it happened is not known, unless `facts.happened` is false
   * @throws FatalError for what fails the same way each time: too large, not allowed
   */
  call<T>(make: (client: StreamsClient) => Promise<T>): Promise<T>;
  /** Metadata of a call. */
  metadata(options: { needsLeader: boolean }): Metadata;
  /** A stream of answers; cancel it when it is not needed any more. */
  openRead(
    request: ReadReq,
    options: { needsLeader: boolean; deadlineMs?: number },
  ): Promise<ClientReadableStream<ReadResp>>;
  /** For errors of streams that `openRead` gave: as an error of ours, and the next call connects anew where that helps. */
  failed(error: unknown): PlatformError;
  close(): void;
}

/** @throws FatalError for a connection string that is none */
export function parseUrl(url: string): ConnectionOptions {
  try {
    // The server's later name, and its own.
    return parseConnectionString(url.replace(/^kurrentdb(\+discover)?:/, 'esdb$1:'));
  } catch (cause) {
    // Its message may hold the password.
    throw new FatalError(
      'EVENTSTOREDB_URL: not a connection string of EventStoreDB (esdb://host:port?tls=false)',
      {},
      { cause },
    );
  }
}

/**
 * A connection to EventStoreDB by the client's own generated services, connection strings and discovery, but not by its class: that
 * one keeps appends in a map of the whole process without time limits, ends the process at a late answer to a batch, gives up
 * a cluster with an unhandled rejection, and waits up to two minutes after an outage (`@eventstore/db-client` 6.2.1).
 */
export function createEventStoreConnection(url: string): EventStoreConnection {
  const options = parseUrl(url);
  const channelCredentials = credentialsOf(options);
  let current: Promise<StreamsClient> | undefined;
  let leader: { address: string; port: number } | undefined;
  let failedEndpoint: { address: string; port: number } | undefined;
  let isClosed = false;

  async function endpoint(): Promise<{ address: string; port: number }> {
    if (leader !== undefined) return leader;
    const [first] = options.hosts;
    if (first === undefined) throw new FatalError('EVENTSTOREDB_URL: names no host');
    if (!options.dnsDiscover && options.hosts.length === 1) return first;
    const { maxDiscoverAttempts, discoveryInterval, gossipTimeout, nodePreference } = options;
    const settings = {
      ...(maxDiscoverAttempts === undefined ? {} : { maxDiscoverAttempts }),
      ...(discoveryInterval === undefined ? {} : { discoveryInterval }),
      ...(gossipTimeout === undefined ? {} : { gossipTimeout }),
      ...(nodePreference === undefined ? {} : { nodePreference }),
    };
    return discoverEndpoint(
      options.dnsDiscover ? { ...settings, discover: first } : { ...settings, endpoints: options.hosts },
      channelCredentials,
      failedEndpoint,
    );
  }

  async function connect(): Promise<StreamsClient> {
    const { address, port } = await endpoint();
    return new streamsService.StreamsClient(`${address}:${port}`, channelCredentials, {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc-node.flow_control_window': WINDOW_BYTES,
      'grpc.keepalive_time_ms': options.keepAliveInterval ?? KEEP_ALIVE_MS,
      'grpc.keepalive_timeout_ms': options.keepAliveTimeout ?? KEEP_ALIVE_MS,
      'grpc.initial_reconnect_backoff_ms': MAX_RECONNECT_MS / 5,
      'grpc.max_reconnect_backoff_ms': MAX_RECONNECT_MS,
      // What one connection of this process has learnt must not make another one wait.
      'grpc.use_local_subchannel_pool': 1,
      // Nothing is ever sent twice without us knowing.
      'grpc.enable_retries': 0,
    });
  }

  async function client(): Promise<StreamsClient> {
    if (isClosed) throw new RetryableError('the connection to EventStoreDB is closed', { happened: false });
    current ??= connect();
    const connecting = current;
    try {
      return await connecting;
    } catch (error) {
      if (current === connecting) current = undefined;
      if (error instanceof PlatformError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new RetryableError(`EventStoreDB: ${message}`, { happened: false }, { cause: error });
    }
  }

  /** The next call connects anew, to the leader where it is known. */
  function reconnect(used: StreamsClient | undefined, next: { address: string; port: number } | undefined): void {
    const old = current;
    leader = next;
    if (old === undefined) return;
    const target = used?.getChannel().getTarget().split(':').slice(-2);
    failedEndpoint = target && { address: target[0]?.replace(/^.*\//, '') ?? '', port: Number(target[1]) };
    current = undefined;
    // Calls that are under way end with errors of their own.
    void old.then(
      (open) => {
        open.close();
      },
      () => undefined,
    );
  }

  function failed(error: unknown, used?: StreamsClient): PlatformError {
    if (error instanceof PlatformError) return error;
    const known = error as Partial<ServiceError>;
    const exception = known.metadata?.get('exception')[0]?.toString();
    const message = `EventStoreDB: ${known.details ?? known.message ?? String(error)}`;
    if (exception === 'not-leader') {
      const host = known.metadata?.get('leader-endpoint-host')[0]?.toString();
      const port = Number(known.metadata?.get('leader-endpoint-port')[0]?.toString());
      reconnect(used, host === undefined || !Number.isInteger(port) ? undefined : { address: host, port });
      return new RetryableError(message, { happened: false, exception }, { cause: error });
    }
    if (
      exception === 'access-denied' ||
      known.code === status.UNAUTHENTICATED ||
      known.code === status.PERMISSION_DENIED
    ) {
      return new FatalError(message, { exception }, { cause: error });
    }
    if (known.code === status.INVALID_ARGUMENT) return new FatalError(message, { exception }, { cause: error });
    if (exception === 'stream-deleted') return new FatalError(message, { exception }, { cause: error });
    if (known.code === status.UNAVAILABLE || known.code === status.CANCELLED || known.code === status.INTERNAL) {
      reconnect(used, undefined);
    }
    return new RetryableError(message, { code: known.code, exception }, { cause: error });
  }

  function metadata({ needsLeader }: { needsLeader: boolean }): Metadata {
    const made = new Metadata();
    if (options.connectionName !== undefined) made.set('connection-name', options.connectionName);
    if (needsLeader) made.set('requires-leader', 'true');
    if (options.tls !== false && options.defaultCredentials !== undefined) {
      const { username, password } = options.defaultCredentials;
      made.set('authorization', `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`);
    }
    return made;
  }

  return {
    metadata,
    failed: (error) => failed(error),
    async call(make) {
      const used = await client();
      try {
        return await make(used);
      } catch (error) {
        throw failed(error, used);
      }
    },
    async openRead(request, { needsLeader, deadlineMs }) {
      const used = await client();
      return used.read(
        request,
        metadata({ needsLeader }),
        deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
      );
    },
    close() {
      isClosed = true;
      reconnect(undefined, undefined);
    },
  };
}

function credentialsOf(options: ConnectionOptions): ChannelCredentials {
  if (options.tls === false) return grpcCredentials.createInsecure();
  const read = (file: string | undefined): Buffer | null => (file === undefined ? null : readFileSync(file));
  return grpcCredentials.createSsl(read(options.tlsCAFile), read(options.userKeyFile), read(options.userCertFile), {
    rejectUnauthorized: options.tlsVerifyCert !== false,
  });
}
