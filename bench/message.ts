import { createHash } from 'node:crypto'

/** One booking between two accounts: about 300 bytes of JSON. */
export interface Booking {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly amount: number
  readonly currency: string
  readonly at: string
  readonly note: string
}

export type IdKind = 'ordered' | 'random'

/** The same start, count, kind and number of accounts give the same messages. */
export function bookings(start: number, count: number, ids: IdKind, accounts: number): Booking[] {
  return Array.from({ length: count }, (_, index) => booking(start + index, ids, accounts))
}

function booking(n: number, ids: IdKind, accounts: number): Booking {
  return {
    id: idOf(n, ids),
    from: `account-${(n * 7919) % accounts}`,
    to: `account-${(n * 104_729 + 17) % accounts}`,
    amount: (n % 97) + 1,
    currency: 'EUR',
    at: '2026-11-21T10:00:00.000Z',
    note: `booking ${n} of the bench, with a text long enough to make a message of the usual size, which is about three hundred bytes`,
  }
}

/** ordered: as UUIDv7 and ULID are, growing; random: as UUIDv4 is. Both have 36 characters. */
function idOf(n: number, ids: IdKind): string {
  const digest = createHash('sha256').update(String(n)).digest('hex')
  const head = ids === 'ordered' ? n.toString(16).padStart(12, '0') : digest.slice(20, 32)
  return `${head.slice(0, 8)}-${head.slice(8)}-7${digest.slice(0, 3)}-a${digest.slice(3, 6)}-${digest.slice(6, 18)}`
}
