import type { Database } from '../database/database.ts'
import type { Subscription } from '../inbox/inbox-store.ts'

/**
 * Is there anything the group has not come to, or is to attempt again? Also what no process has been given yet counts, and what
 * another has under way.
 */
export function leftToDo(database: Database<unknown>, subscription: Subscription): Promise<boolean> {
  return database.read(async (stores) => {
    const record = await stores.topics.get(subscription.topic)
    for (let number = 0; number < (record?.partitions ?? 0); number++) {
      const partition = String(number)
      const head = await stores.log.head(subscription.topic, partition)
      if (head > ((await stores.checkpoints.get(subscription, partition)) ?? 0n)) return true
      if (await stores.parked.anyOpen(subscription, partition)) return true
    }
    return false
  })
}
