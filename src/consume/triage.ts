import type { Session } from '../database/database.ts'
import { OnefoldError } from '../errors.ts'
import { isErased } from '../message.ts'
import type { ConsumerContext, PartitionState } from './consumer-context.ts'
import { messageLate } from './failure.ts'
import type { Item } from './item.ts'
import type { Tally } from './tally.ts'
import { emptyTally } from './tally.ts'

/** Which of these are to be applied now? What was received before, or waits behind a parked message, is not. */
export async function triage(
  context: ConsumerContext,
  session: Session<unknown>,
  state: PartitionState,
  items: readonly Item[],
): Promise<Tally & { fresh: Item[] }> {
  const { subscription, claims, topic } = context
  const tally: Tally & { fresh: Item[] } = { ...emptyTally(), done: items.length, fresh: [] }
  const checkpoint = await session.checkpoints.get(subscription, state.partition)
  const beyond = items.filter(
    ({ delivery }) => delivery.offset === undefined || checkpoint === undefined || delivery.offset > checkpoint,
  )
  tally.suppressed += items.length - beyond.length
  const statuses =
    claims && beyond.length > 0
      ? await session.inbox.claim(
          subscription,
          beyond.map((item) => item.envelope),
        )
      : undefined
  // A person may have let a lane go meanwhile: what the table says inside this transaction counts.
  if (state.turnsBeside || state.held.size > 0)
    tally.held = new Set(await session.parked.heldLanes(subscription, state.partition))
  for (let index = 0; index < beyond.length; index++) {
    const item = beyond[index] as Item
    const status = isErased(item.envelope) ? 'seen' : (statuses?.[index] ?? 'new')
    if (status instanceof OnefoldError) tally.fresh.push({ ...item, invalid: status, refused: true })
    else if (status === 'too-old')
      tally.fresh.push({ ...item, late: messageLate(context, item, await session.inbox.forgottenMs(subscription)) })
    else if (status === 'seen' || (status === 'id-reused' && topic.settings.idReuse === 'ignore')) tally.suppressed++
    else if (status === 'id-reused') {
      const error = new OnefoldError(
        'ID_REUSED',
        `message ${item.envelope.id} of topic ${topic.name} (source ${item.envelope.source}) was received before with other data.`,
        {
          details: { topic: topic.name, id: item.envelope.id, source: item.envelope.source },
        },
      )
      tally.fresh.push({ ...item, invalid: error, refused: true })
    } else tally.fresh.push(item)
  }
  return tally
}
