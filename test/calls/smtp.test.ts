/** Calls that send mail, by a real client, to a real server that may cut the connection when it has the mail. */
import { createTransport } from 'nodemailer'
import { beforeEach, describe, expect, test } from 'vitest'
import { classifyError } from '../../src/calls/classify-error.ts'
import { call, topic } from '../../src/index.ts'
import { describeOnEngines } from '../support/engines.ts'
import type { StoredMail } from '../support/mail-server.ts'
import { mailServerProgram } from '../support/mail-server.ts'
import { Worker } from '../support/torture-process.ts'
import { rejection, until } from '../support/until.ts'

const letters = topic<{ to: string }>('letters', { id: ({ to }) => to, key: ({ to }) => to })

let server: Worker
let port: number

beforeEach(async () => {
  server = new Worker(mailServerProgram, {})
  port = Number((await server.until('listening ')).slice('listening '.length))
  return async () => {
    await server.stop()
  }
})

const transport = () => createTransport({ host: '127.0.0.1', port, secure: false, ignoreTLS: true })
const mail = (to: string, token: string) => ({
  from: 'shop@example.org',
  to,
  subject: 'Receipt',
  text: 'Thanks',
  headers: { 'X-Token': token },
})

/** All that has reached a mailbox. The server has ended: nothing can be added. */
async function stored(): Promise<StoredMail[]> {
  await server.stop()
  return server.lines
    .filter((line) => line.startsWith('stored '))
    .map((line) => JSON.parse(line.slice('stored '.length)) as StoredMail)
}

const asked = (to: string): number => server.lines.filter((line) => line === `asked ${to}`).length

/** Sends a letter to each; ends when each is applied or with a person. */
describeOnEngines('smtp', (engine) => {
  async function send(recipients: readonly string[], whenUnknown: 'repeat' | 'ask-person') {
    const store = await engine.store('create table sent (recipient text, message text)')
    const app = store.app()
    app.consume(letters, {
      group: 'receipts',
      maxAttempts: 3,
      backoffMs: 5,
      calls: {
        mail: call(async ({ to }, { token }) => ({ id: (await transport().sendMail(mail(to, token))).messageId }), {
          whenUnknown,
        }),
      },
      apply: ({ to }, { tx, calls }) => store.write(tx, 'insert into sent values (?, ?)', to, calls.mail.id),
    })
    await app.publishMany(
      letters,
      recipients.map((to) => ({ data: { to } })),
    )
    await app.start()
    const sent = () => store.column('select recipient from sent')
    const attention = async () =>
      (await app.attention.list()).map(({ id, kind, envelope, errorMessage }) => ({ id, kind, to: envelope.id, errorMessage }))
    await until(
      async () => (await sent()).length + (await attention()).length === recipients.length,
      async () => `all are sent or with a person: ${(await sent()).join(' ')}`,
      15_000,
    )
    return { app, store, sent, attention }
  }

  const recipients = (kind: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `${kind}${index}@example.org`)

  describe('mail', () => {
    test("'ask-person': no mail is sent twice, and each whose answer was lost is with a person", async () => {
      const good = recipients('good', 6)
      const lost = recipients('lost', 4)
      const cut = recipients('cut', 2)
      const { sent, attention, app } = await send([...good, ...lost, ...cut], 'ask-person')
      expect((await sent()).toSorted()).toEqual(good.toSorted())
      const open = await attention()
      expect(open.map(({ to }) => to).toSorted()).toEqual([...cut, ...lost].toSorted())
      expect(new Set(open.map(({ kind }) => kind))).toEqual(new Set(['unknown-outcome']))

      // A person has looked into the mailboxes.
      for (const { id, to } of open) {
        const result = { id: to.startsWith('lost') ? 'found' : 'sent by hand' }
        await app.attention.settle(id, { as: 'happened', result }, { by: 'Ada' })
      }
      await until(async () => (await sent()).length === 12, 'all are applied')
      for (const to of cut) expect(asked(to)).toBe(1)
      const mails = await stored()
      expect(mails.map(({ to }) => to).toSorted()).toEqual([...good, ...lost].toSorted())
    })

    test('a mailbox that does not exist is a known failure: attempted again under a new token, and then a dead letter', async () => {
      const { sent, attention } = await send(['unknown@example.org', 'good@example.org'], 'ask-person')
      expect(await sent()).toEqual(['good@example.org'])
      expect(await attention()).toMatchObject([{ kind: 'dead-letter', to: 'unknown@example.org' }])
      expect(asked('unknown@example.org')).toBe(3)
      expect((await stored()).map(({ to }) => to)).toEqual(['good@example.org'])
    })

    test('a mailbox that is full for now is a known failure too: the next attempt sends it', async () => {
      const { sent, attention } = await send(['full@example.org'], 'ask-person')
      expect(await sent()).toEqual(['full@example.org'])
      expect(await attention()).toEqual([])
      expect(await stored()).toHaveLength(1)
    })

    test('no server there is a known failure, a connection cut after the mail is an unknown outcome', async () => {
      const lost = await rejection(transport().sendMail(mail('lost@example.org', 't')))
      expect(classifyError(lost).outcome).toBe('unknown')
      await server.stop()
      const refused = await rejection(transport().sendMail(mail('good@example.org', 't')))
      expect(classifyError(refused).outcome).toBe('failed')
    })

    test("'repeat' sends it again, for a mail server honours no tokens: the judge of these tests sees it", async () => {
      const { attention } = await send(['lost@example.org'], 'repeat')
      expect(await attention()).toMatchObject([{ kind: 'unknown-outcome' }])
      const mails = await stored()
      expect(mails).toHaveLength(3)
      expect(new Set(mails.map(({ token }) => token)).size).toBe(1)
    })

    test('also a client with a pool of connections does not send it again by itself', async () => {
      const pool = createTransport({ host: '127.0.0.1', port, ignoreTLS: true, pool: true })
      const error = await rejection(pool.sendMail(mail('lost@example.org', 't')))
      pool.close()
      expect(classifyError(error).outcome).toBe('unknown')
      expect(await stored()).toHaveLength(1)
    })
  })
})
