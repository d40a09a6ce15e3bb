/** Types of `stack.mjs`, for tests. */
export class StackError extends Error {}
export type ServiceName = 'postgres' | 'kafka' | 'connect' | 'bitcoin';
export const SERVICE_NAMES: readonly ServiceName[];

export interface StackOptions {
  dir: string;
  services?: readonly ServiceName[];
  ports?: Partial<Record<ServiceName, number>>;
  onProgress?: (line: string) => void;
  topic?: string;
  partitions?: number;
  miningAddress?: string;
  /** JVMs that start faster and run slower. */
  quickStart?: boolean;
  /** `name=value`, after those of `debezium/postgresql.conf`. */
  postgresSettings?: readonly string[];
  brokerSettings?: Readonly<Record<string, string>>;
  workerSettings?: Readonly<Record<string, string>>;
  /** Where Connect reaches PostgreSQL, if not directly: a proxy that breaks the network between them. */
  connectDatabasePort?: number;
}

export interface StackState {
  ports: Partial<Record<string, number>>;
  databaseUrl?: string;
  cdcPassword: string;
  bitcoinPassword: string;
}

export interface Stack {
  readonly dir: string;
  readonly state: StackState;
  up(): Promise<void>;
  down(): Promise<void>;
  start(name: ServiceName): Promise<void>;
  stop(name: ServiceName, signal?: NodeJS.Signals): Promise<boolean>;
  kill(name: ServiceName): Promise<boolean>;
  expectStreaming(): Promise<void>;
  status(): { name: ServiceName; title: string; pid: number | undefined; port: number | undefined; log: string }[];
  env(): Record<string, string>;
}

export function openStack(options: StackOptions): Stack;
