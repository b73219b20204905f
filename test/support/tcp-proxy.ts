import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { freePort } from '../../scripts/engines/free-port.ts'

/**
 * never-sent: the connection ends before the other side has seen it · answer-lost: it has, and its answer does not come through ·
 * held: it goes through only when `release` is called, whatever has become of the connection by then.
 */
export type Cut = 'never-sent' | 'answer-lost' | 'held'

/** Stands between a client and a server on this machine, and breaks the connection where a test wants it. */
export interface TcpProxy {
  readonly port: number
  /** Bytes of the next request that contains `text` are treated so; resolves when that has happened. */
  cutAt(text: string, how: Cut): Promise<{ release(): void }>
  /** Ends all connections at once; new ones are refused until `open`. */
  close(): void
  open(): void
  stop(): Promise<void>
}

export async function tcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>()
  const cuts: { text: string; how: Cut; done: (held: { release(): void }) => void }[] = []
  let open = true

  const server = createServer((client) => {
    if (!open) {
      client.resetAndDestroy()
      return
    }
    const upstream = connect(target)
    const pair = [client, upstream] as const
    pairs.add(pair)
    let swallow = false
    const end = (): void => {
      pairs.delete(pair)
      client.destroy()
      upstream.destroy()
    }
    client.on('error', end).on('close', () => {
      if (!swallow) end()
    })
    upstream.on('error', end).on('close', end)
    client.on('data', (chunk) => {
      const found = cuts.findIndex(({ text }) => chunk.includes(text))
      const cut = cuts[found]
      if (cut === undefined) {
        upstream.write(chunk)
        return
      }
      cuts.splice(found, 1)
      const release = (): void => void upstream.write(chunk)
      if (cut.how === 'never-sent') {
        client.resetAndDestroy()
        upstream.resetAndDestroy()
      } else if (cut.how === 'held') {
        swallow = true
        client.resetAndDestroy()
      } else {
        swallow = true
        upstream.write(chunk)
        upstream.once('data', () => {
          swallow = false
          client.resetAndDestroy()
        })
        return void upstream.once('data', () => cut.done({ release }))
      }
      cut.done({ release })
    })
    upstream.on('data', (chunk) => {
      if (!swallow) client.write(chunk)
    })
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const cutAll = (): void => {
    for (const [client, upstream] of pairs) {
      client.resetAndDestroy()
      upstream.resetAndDestroy()
    }
    pairs.clear()
  }
  return {
    port,
    cutAt: (text, how) => new Promise((done) => cuts.push({ text, how, done })),
    close() {
      open = false
      cutAll()
    },
    open() {
      open = true
    },
    async stop() {
      open = false
      cutAll()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
