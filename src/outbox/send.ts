import type { Broker } from '../broker/broker.ts'
import { OnefoldError } from '../errors.ts'
import { withOutboxNumber } from '../outbox-number.ts'
import type { AnyTopic } from '../topic.ts'
import type { NumberedRow } from './outbox-store.ts'

/** What became of rows that were handed to the broker. What is not named waits for the next time. */
export interface Sent {
  /** The broker has them. */
  readonly taken: NumberedRow[]
  /** It will never take them. */
  readonly refused: { readonly row: NumberedRow; readonly error: OnefoldError }[]
  /** Why some wait. */
  failure: unknown
}

export interface SendOptions {
  readonly broker: Broker
  readonly topicNamed: (name: string) => AnyTopic
  readonly signal: AbortSignal
}

/**
 * Hands rows to the broker, in order. Behind a row that it refuses for now, later ones of the same key (with order 'total', of the
 * topic) are held back, or refused by the broker itself where its card says that it keeps order then. A row that it will never take holds
 * up nobody. A topic that fails as a whole does not keep others from being sent.
 */
export async function send(rows: readonly NumberedRow[], options: SendOptions): Promise<Sent> {
  const sent: Sent = { taken: [], refused: [], failure: undefined }
  for (const [name, ofTopic] of Map.groupBy(rows, (row) => row.topic)) {
    if (options.signal.aborted) break
    try {
      await sendTopic(options.topicNamed(name), ofTopic, options, sent)
    } catch (error) {
      sent.failure = error
    }
  }
  return sent
}

async function sendTopic(
  topic: AnyTopic,
  rows: readonly NumberedRow[],
  { broker, signal }: SendOptions,
  sent: Sent,
): Promise<void> {
  const oneOfEach = broker.card.claims['keeps order when it refuses'] !== true
  const held = new Set<string>()
  for (let rest = rows; rest.length > 0 && !signal.aborted; ) {
    const { now, later } = nextOf(rest, held, oneOfEach)
    if (now.length === 0) return
    const answers = await broker.publish(
      topic,
      now.map(({ envelope, number }) => withOutboxNumber(envelope, number)),
      { signal },
    )
    for (const [index, row] of now.entries()) {
      const answer = answers[index] ?? unanswered(row)
      if (!(answer instanceof Error)) sent.taken.push(row)
      else if (answer.retry === 'never') sent.refused.push({ row, error: answer })
      else {
        sent.failure = answer
        const order = orderOf(row)
        if (order !== undefined) held.add(order)
      }
    }
    rest = later
  }
}

/** What goes into the next call, and what into those after it. What must wait behind a row that was refused is in neither. */
function nextOf(
  rows: readonly NumberedRow[],
  held: ReadonlySet<string>,
  oneOfEach: boolean,
): { readonly now: NumberedRow[]; readonly later: NumberedRow[] } {
  const now: NumberedRow[] = []
  const later: NumberedRow[] = []
  const inCall = new Set<string>()
  for (const row of rows) {
    const order = orderOf(row)
    if (order !== undefined && held.has(order)) continue
    if (oneOfEach && order !== undefined && inCall.has(order)) later.push(row)
    else {
      now.push(row)
      if (order !== undefined) inCall.add(order)
    }
  }
  return { now, later }
}

/** Rows of a topic with the same stay in order; undefined: there is no order to keep. */
function orderOf({ order, envelope: { key } }: NumberedRow): string | undefined {
  if (order === 'total') return ''
  return order === 'none' || key === undefined ? undefined : `=${key}`
}

function unanswered({ topic, envelope: { id } }: NumberedRow): OnefoldError {
  return new OnefoldError('COMMIT_UNKNOWN', `the broker has not answered for message ${id} of topic ${topic}.`, {
    outcome: 'unknown',
    retry: 'later',
    details: { topic, id },
  })
}
