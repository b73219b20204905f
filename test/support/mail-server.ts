/**
 * A mail server in a process of its own. Started as `node mail-server.ts`; says `listening PORT`, then a line of JSON for every
 * mail it has stored, and ends when its stdin does. What it does is in the recipient's address:
 *
 *   lost…    stores the mail and cuts the connection before it says so
 *   cut…     cuts the connection without having stored it
 *   unknown… 550, no such mailbox · full… 452 the first time · anything else is stored and answered
 */
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { SMTPServer } from 'smtp-server'

export const mailServerProgram = fileURLToPath(import.meta.url)

export interface StoredMail {
  readonly to: string
  readonly token: string
}

const refused = (responseCode: number, message: string) => Object.assign(new Error(message), { responseCode })

async function main(): Promise<void> {
  const wasFull = new Set<string>()
  const sockets = new Map<number, Socket>()
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    onRcptTo({ address }, _session, callback) {
      console.log(`asked ${address}`)
      callback(address.startsWith('unknown') ? refused(550, 'no such mailbox') : null)
    },
    onData(stream, session, callback) {
      void (async () => {
        let text = ''
        for await (const chunk of stream) text += String(chunk)
        const to = session.envelope.rcptTo[0]?.address ?? ''
        const token = /^x-token: (\S+)/im.exec(text)?.[1] ?? ''
        if (to.startsWith('full') && !wasFull.has(to)) {
          wasFull.add(to)
          callback(refused(452, 'mailbox full'))
          return
        }
        if (!to.startsWith('cut')) console.log(`stored ${JSON.stringify({ to, token } satisfies StoredMail)}`)
        if (to.startsWith('cut') || to.startsWith('lost')) sockets.get(session.remotePort)?.destroy()
        else callback(null)
      })()
    },
  })
  server.server.on('connection', (socket) => sockets.set(socket.remotePort ?? 0, socket))
  server.on('error', (error) => console.error(error))
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  console.log(`listening ${(server.server.address() as AddressInfo).port}`)
  process.stdin.resume()
  await once(process.stdin, 'end')
  process.exit(0)
}

if (process.argv[1] === mailServerProgram) await main()
