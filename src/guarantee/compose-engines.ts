import type { BrokerGuarantee, DatabaseGuarantee, Weakening } from './guarantee.ts'
import type { Topology } from './topology.ts'
import { number } from './words.ts'

export function composeDatabase({ database }: Topology): DatabaseGuarantee {
  const { name, version, claims } = database
  const setting = `${claims['durability option']}: '${claims['durability is set to']}'`
  const onDisk = claims['committed means on disk'] === true
  const weakenedBy: Weakening[] = []
  if (!onDisk) {
    weakenedBy.push({
      option: claims['durability option'],
      value: claims['durability is set to'],
      where: `${name}()`,
      says: `a commit may be lost when the power fails (not when a process is killed); ${claims['durability option']}: '${claims['durable when set to']}' flushes it before it is answered`,
    })
  }
  const unawaited = claims['an unawaited write']
  if (claims['handle is revoked'] !== true && unawaited !== undefined) weakenedBy.push(unawaited)
  return {
    name,
    ...(version === undefined ? {} : { version }),
    claims,
    says: [
      onDisk ? `Committed means on disk (${setting}).` : `Committed does not mean on disk (${setting}).`,
      `${claims['transactions at a time'] === 1 ? 'One writing transaction at a time' : `Writing transactions at a time: ${claims['transactions at a time']}`}; ${claims['several processes'] === true ? 'several processes may use it together' : 'one process only may use it'}.`,
      `A process that is stopped inside a transaction (SIGSTOP, a debugger): ${claims['frozen inside a transaction']}.`,
      ...(claims.refuses === '' ? [] : [`Refused when it is opened: ${claims.refuses}.`]),
    ],
    weakenedBy,
  }
}

export function composeBroker({ broker, brokerIsDatabase }: Topology): BrokerGuarantee {
  const { name, version, claims } = broker
  const onDisk = claims['acknowledged means on disk'] === true
  const weakenedBy: Weakening[] = []
  // Of the database's own log the database has said so already.
  if (!onDisk && !brokerIsDatabase) {
    weakenedBy.push({
      option: 'broker',
      value: name,
      where: 'onefold()',
      says: 'a message it has acknowledged may be lost when the power fails, also one that a committed handler has published',
    })
  }
  return {
    name,
    ...(version === undefined ? {} : { version }),
    isDatabase: brokerIsDatabase,
    claims,
    says: [
      brokerIsDatabase
        ? 'The database is its own broker: its log is the outbox too, and a message has no hop to make.'
        : 'Messages of handlers and transactions leave the database by its outbox: sent after the commit, as often as it takes, under one identity and one number.',
      ...(brokerIsDatabase || claims['keeps order when it refuses'] === true
        ? []
        : ['It may take a message after it has refused an earlier one: the outbox hands it one message of a key at a time.']),
      `First deliveries come in ${claims.order === 'none' ? 'no order' : `order ${claims.order}`}; ${claims.redelivery} may be handed over again.`,
      ...(claims['may hold duplicates'] === false
        ? []
        : ['It may hold duplicates: what tells them is the inbox in the database.']),
      `Takes messages up to ${number(claims['max data bytes'])} bytes of JSON.`,
    ],
    weakenedBy,
  }
}
