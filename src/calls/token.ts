import { hash } from 'node:crypto'

/**
 * What the other side can recognise a repeat by: equal for every attempt, every redelivery and every process, for ever.
 * For a declared call also of its name and round. 32 hexadecimal digits of SHA-256.
 */
export function tokenOf(
  topic: string,
  group: string,
  identity: string,
  call?: { readonly name: string; readonly round: number },
): string {
  const parts = call === undefined ? [topic, group, identity] : [topic, group, identity, call.name, call.round]
  return hash('sha256', JSON.stringify(parts), 'hex').slice(0, 32)
}
