import { OnefoldError } from '../errors.ts'
import type { Envelope } from '../message.ts'
import { outboxNumberOf } from '../outbox-number.ts'
import type { ClaimStatus } from './inbox-store.ts'

/** What the set of a series says of a number: an error where it would leave a gap too many. */
export type NumberStatus = 'new' | 'seen' | OnefoldError

/**
 * What a delivery is, from what is known of its id and of the number that its outbox gave it.
 *
 * A number that was received says 'seen' for ever, also when the id has been forgotten. But one whose id is certainly new (nothing of
 * its time was forgotten) belongs to another message: the outbox gives numbers a second time, as a database does that was put back to an
 * older state. To suppress it would lose it without a word, so a person hears of it.
 */
export function claimStatus(id: ClaimStatus, number: NumberStatus | undefined, envelope: Envelope): ClaimStatus {
  if (number === undefined || number === 'new') return id
  // It cannot be recorded: a known id is a repeat all the same.
  if (number !== 'seen') return id === 'seen' ? 'seen' : number
  return id === 'new' ? numberReused(envelope) : 'seen'
}

function numberReused(envelope: Envelope): OnefoldError {
  const { id, source } = envelope
  const { series, number } = outboxNumberOf(envelope) ?? { series: '', number: 0n }
  return new OnefoldError(
    'ID_REUSED',
    `message ${id} (source ${source}) has number ${number} of outbox ${series}, under which another message was received before. ` +
      'The database it was sent from has been put back to an older state: what it sends has used numbers. Redrive this message if ' +
      'its effect is missing.',
    { details: { id, source, outbox: series, sequence: String(number) } },
  )
}
