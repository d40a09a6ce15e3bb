const ACCOUNTS = 20;

/** Accounts `account-0` and on with money that came over the built-in chain. */
export async function fundAccounts(url: string): Promise<void> {
  await post(url, '/v1/wallets', { walletId: 'hot', signer: 'local' }, 'wallet');
  for (let n = 0; n < ACCOUNTS; n += 1) {
    await post(url, '/v1/accounts', { accountId: `account-${n}` }, `open-${n}`);
    const { address } = await post(url, '/v1/wallets/hot/addresses', { accountId: `account-${n}` }, `address-${n}`);
    await post(url, '/dev/chain/pay', { address, amountSats: '1000000' });
  }
  await post(url, '/dev/chain/mine', { blocks: 1 });
}

async function post(url: string, path: string, body: object, key?: string): Promise<Record<string, unknown>> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}
