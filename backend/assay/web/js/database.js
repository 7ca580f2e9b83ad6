// IndexedDB, as far as it is used here.

// A function of (store, mode, work): the result of the request that `work` of the store returns, once all it began is
// kept: on disk, or with the durability "relaxed" by the system alone. `upgrade` makes the stores of a new database.
export const database = (name, upgrade) => async (store, mode, work, durability = "strict") => {
  const opened = await new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => upgrade(request.result);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  try {
    return await new Promise((resolve, reject) => {
      const transaction = opened.transaction(store, mode, { durability });
      const request = work(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    opened.close();
  }
};
