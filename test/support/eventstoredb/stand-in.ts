import { createServer, type Socket } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import gossip from '@eventstore/db-client/generated/gossip_pb.js';
import gossipService from '@eventstore/db-client/generated/gossip_grpc_pb.js';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import features from '@eventstore/db-client/generated/serverfeatures_pb.js';
import featuresService from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js';
import streamsService from '@eventstore/db-client/generated/streams_grpc_pb.js';
import { handleAppend, handleBatchAppend, notLeader, toTrailers, type AppendContext } from './append-handlers.js';
import { noFaults, type Faults } from './faults.js';
import { handleRead } from './read-handlers.js';
import { createStoredLog, type StoredLog } from './stored-log.js';

export interface StandIn {
  /** `esdb://127.0.0.1:port?tls=false` */
  url: string;
  /** The same, where the client asks for the members of the cluster first. */
  discoverUrl: string;
  port: number;
  log: StoredLog;
  faults: Faults;
  /** Another node leads from now on: appends and reads that ask for the leader are sent there. */
  follow(leader: { host: string; port: number } | undefined): void;
  /** Ends all connections; clients may connect again. */
  dropConnections(): void;
  /** Ends all, as a kill does. */
  stop(): Promise<void>;
}

/**
 * A server that speaks the protocol of EventStoreDB (append, batch append, read, subscribe, server features, gossip), as far as this
 * repository uses it, with the client's own generated services. It proves how we deal with answers, faults and restarts; it is
 * not the real server.
 *
 * @param options.log kept by the caller, where several nodes or one after the other serve the same log
 */
export async function startStandIn(
  options: { file?: string; port?: number; log?: StoredLog; now?: () => number } = {},
): Promise<StandIn> {
  const now = options.now ?? Date.now;
  const log = options.log ?? createStoredLog({ now, ...(options.file === undefined ? {} : { file: options.file }) });
  const faults = noFaults();
  const sockets = new Set<Socket>();
  let leader: { host: string; port: number } | undefined;
  let port = 0;
  const dropConnections = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const context: AppendContext = { log, faults, dropConnections, leader: () => leader };

  const server = new Server({ 'grpc.max_receive_message_length': 16 * 1024 * 1024 });
  server.addService(streamsService.StreamsService, {
    append: (call: Parameters<typeof handleAppend>[1], callback: Parameters<typeof handleAppend>[2]) => {
      handleAppend(context, call, callback);
    },
    batchAppend: (call: Parameters<typeof handleBatchAppend>[1]) => {
      handleBatchAppend(context, call);
    },
    read: (call: Parameters<typeof handleRead>[1]) => {
      const wantsLeader = call.metadata.get('requires-leader')[0] === 'true';
      if (leader !== undefined && wantsLeader) {
        const { code, details, trailers } = notLeader(leader.host, leader.port);
        call.emit('error', { code, details, metadata: toTrailers(trailers) });
        return;
      }
      void handleRead({ log, faults }, call);
    },
    delete: unused,
    tombstone: unused,
  });
  server.addService(featuresService.ServerFeaturesService, {
    getSupportedMethods: (_call: unknown, callback: (error: null, methods: unknown) => void) => {
      callback(null, supportedMethods());
    },
  });
  server.addService(gossipService.GossipService, {
    read: (_call: unknown, callback: (error: null, info: unknown) => void) => {
      callback(null, members({ self: port, leader }));
    },
  });

  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => sockets.delete(socket));
    // A reset is what a killed client looks like.
    socket.on('error', () => undefined);
    injector.injectConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('the stand-in has no port');
  port = address.port;
  return {
    url: `esdb://127.0.0.1:${port}?tls=false`,
    discoverUrl: `esdb+discover://127.0.0.1:${port}?tls=false&maxDiscoverAttempts=3&gossipTimeout=1`,
    port,
    log,
    faults,
    follow: (other) => (leader = other),
    dropConnections,
    stop: async () => {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      dropConnections();
      server.forceShutdown();
      await closed;
    },
  };
}

function unused(_call: unknown, callback: (error: Error) => void): void {
  callback(new Error('not part of the stand-in'));
}

function supportedMethods(): InstanceType<typeof features.SupportedMethods> {
  const methods = new features.SupportedMethods();
  methods.setEventStoreServerVersion('23.10.0');
  methods.setMethodsList(
    ['read', 'append', 'batchappend'].map((name) => {
      const method = new features.SupportedMethod();
      method.setServiceName('event_store.client.streams.streams');
      method.setMethodName(name);
      method.setFeaturesList([]);
      return method;
    }),
  );
  return methods;
}

const { LEADER, FOLLOWER } = gossip.MemberInfo.VNodeState;

function members(node: { self: number; leader: { host: string; port: number } | undefined }): unknown {
  const member = (address: string, port: number, state: 6 | 8): InstanceType<typeof gossip.MemberInfo> => {
    const endPoint = new gossip.EndPoint();
    endPoint.setAddress(address);
    endPoint.setPort(port);
    const id = new shared.UUID();
    id.setString(`00000000-0000-4000-8000-${port.toString(16).padStart(12, '0')}`);
    const info = new gossip.MemberInfo();
    info.setInstanceId(id);
    info.setTimeStamp('0');
    info.setState(state);
    info.setIsAlive(true);
    info.setHttpEndPoint(endPoint);
    return info;
  };
  const info = new gossip.ClusterInfo();
  info.setMembersList(
    node.leader === undefined
      ? [member('127.0.0.1', node.self, LEADER)]
      : [member('127.0.0.1', node.self, FOLLOWER), member(node.leader.host, node.leader.port, LEADER)],
  );
  return info;
}
