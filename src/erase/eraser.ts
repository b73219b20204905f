import { hash } from 'node:crypto'
import type { Database } from '../database/database.ts'
import { OnefoldError, optionInvalid } from '../errors.ts'
import type { Runtime } from '../runtime.ts'
import { checkText } from '../text.ts'
import { checkName } from '../topic.ts'
import type { Erased, EraseTarget } from './erase-store.ts'
import { eraseParts } from './erase-store.ts'

export interface EraseOptions {
  /** The messages' key. */
  readonly key: string
  /** Who erases; kept. */
  readonly by: string
  /** Why; kept. Not the place for personal data. */
  readonly reason?: string
  /**
   * Writes the whole file anew afterwards, so that no trace is left in it. Holds up this process, and all writers, as long as
   * that takes: better in a process of its own (`onefold erase --rewrite`), and for many keys with the last one. Default false.
   */
  readonly rewrite?: boolean
  /** Only counts what would be erased. Default false. */
  readonly preview?: boolean
}

export interface EraseResult extends Erased {
  /**
   * 'none': the database's files hold nothing of it any more. 'possible': no query finds it, but old bytes may lie in unused
   * corners of the file: without `rewrite`, and when somebody was reading what was there before all the while.
   */
  readonly traces: 'none' | 'possible'
}

/** Rows changed by one commit: short, so that publishers do not notice. */
const rowsPerCommit = 200

const nothing: Erased = { messages: 0, parked: 0, attention: 0, outbox: 0, scheduled: 0, calls: 0, revisions: 0 }

/**
 * Takes the data of a key out of a topic: what stays is that there were messages, their ids, and that they were received.
 * In small commits; after a crash the same call goes on, because what is erased is no longer found.
 *
 * @throws OnefoldError `OPTION_INVALID`, `NOT_FOUND` (no such topic).
 */
export async function erase(
  { database, runtime }: { readonly database: Database<unknown>; readonly runtime: Runtime },
  topic: string,
  options: EraseOptions,
): Promise<EraseResult> {
  checkName('topic', topic)
  const { key, by, reason, rewrite = false, preview = false } = options
  checkText('key', key, 512)
  if (typeof by !== 'string' || by.trim() === '') throw optionInvalid('by', by, 'a text: whoever erases data says who')
  if (reason !== undefined && typeof reason !== 'string') throw optionInvalid('reason', reason, 'a text')
  if (!(await database.read((stores) => stores.erasures.knows(topic))))
    throw new OnefoldError('NOT_FOUND', `there is no topic ${topic} in this database.`, { details: { topic } })

  const target: EraseTarget = { topic, key }
  const counts = { ...nothing }
  const add = (more: Partial<Erased>): void => {
    for (const [name, count] of Object.entries(more)) counts[name as keyof Erased] += count
  }
  const salt = runtime.uuid()
  const erasure = preview
    ? undefined
    : await database.write(
        (session) =>
          session.erasures.begin({
            topic,
            keySalt: Buffer.from(salt),
            keyDigest: hash('sha256', `${salt}\n${topic}\n${key}`, 'buffer'),
            by,
            reason,
            atMs: runtime.wallMs(),
          }),
        { what: 'erase' },
      )
  for (const part of eraseParts) {
    let cursor: number | undefined
    do {
      const found = await database.read((stores) => stores.erasures.find(part, target, cursor))
      cursor = found.next
      if (erasure === undefined) {
        add({ [part]: found.rows.length })
        if (part === 'attention') add({ revisions: await database.read((stores) => stores.erasures.revisionsOf(found.rows)) })
      } else {
        for (let from = 0; from < found.rows.length; from += rowsPerCommit) {
          const rows = found.rows.slice(from, from + rowsPerCommit)
          const erased = await database.write(
            async (session) => {
              const done = await session.erasures.erase(part, target, rows, { by, reason, nowMs: runtime.wallMs() })
              await session.erasures.count(
                erasure,
                Object.values(done).reduce((sum, count) => sum + count, 0),
              )
              return done
            },
            { what: 'erase' },
          )
          add(erased)
          await runtime.reached?.('erase:committed')
        }
      }
      // Others of this process get their turn.
      await new Promise<void>((resolve) => runtime.defer(resolve))
    } while (cursor !== undefined)
  }
  if (erasure === undefined) return { ...counts, traces: 'possible' }
  const clean = await database.scrub({ rewrite })
  await database.write((session) => session.erasures.finish(erasure, runtime.wallMs()), { what: 'erase' })
  return { ...counts, traces: clean ? 'none' : 'possible' }
}
