import { createServer } from 'node:net'

/** Above lie the ports that Linux gives to outgoing connections: a server there may find its port taken by a client. */
const firstPort = 15_000
const lastPort = 32_000

/** A port of the loopback interface that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  for (let turn = 0; turn < 100; turn++) {
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort))
    if (await isFree(port)) return port
  }
  throw new Error(`no free port found between ${firstPort} and ${lastPort}`)
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
