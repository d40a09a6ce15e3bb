import { startStandIn } from './stand-in.js';

/** The stand-in as a program, for trying things by hand. */
const server = await startStandIn({ port: Number(process.env['PORT'] ?? 0) });
process.stdout.write(`${server.url}\n`);
