/**
 * A CA with the account that is used there: registered when it is first needed, its key on disk
 * before the CA hears of it (RFC 8555 sections 7.3.1 to 7.3.6).
 *
 * Needs `acme.ts`, `account.ts`, `httpsclient.ts`.
 */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { AccountStore, StoredAccount } from "./account.ts";
import { AcmeClient, AcmeError, orAborted } from "./acme.ts";
import type { HttpClient } from "./httpsclient.ts";
import { type MacAlgorithm, thumbprint } from "./jose.ts";

/** What a CA may say of an account that isn't, or isn't signed for, as it used to be. */
const ACCOUNT_PROBLEMS = ["accountDoesNotExist", "unauthorized", "malformed"];
/** ZeroSSL gives binding keys to whoever names an e-mail address. */
const ZEROSSL = "acme.zerossl.com";
const ZEROSSL_BINDING = "https://api.zerossl.com/acme/eab-credentials-email";

/** What a CA that has accounts of its own gave, for RFC 8555 7.3.4. */
export interface ExternalAccount {
  readonly kid: string;
  /** In base64url or base64. */
  readonly hmac: string;
  readonly algorithm?: MacAlgorithm;
}

export interface AuthorityOptions {
  /** URL of its directory. */
  readonly directory: string;
  /** Of several, the preferred one. */
  readonly first: boolean;
  /** For the account; may be empty. */
  readonly email: string;
  readonly externalAccount?: ExternalAccount | undefined;
  /** Where that account is. */
  readonly account: AccountStore;
  readonly http: HttpClient;
  readonly progress: (step: string, fields: Readonly<Record<string, string>>) => void;
}

export class Authority {
  readonly directory: string;
  /** Of the directory: what people know the CA by. */
  readonly host: string;
  readonly first: boolean;
  readonly #options: AuthorityOptions;
  #client: Promise<AcmeClient> | undefined;

  constructor(options: AuthorityOptions) {
    this.#options = options;
    this.directory = options.directory;
    this.host = new URL(options.directory).host;
    this.first = options.first;
  }

  /** With an account; after a rejection (AcmeError, HttpError, a damaged file) it tries again. */
  client(): Promise<AcmeClient> {
    this.#client ??= this.#open().catch((error) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }

  /**
   * What the account is asked for; if the CA doesn't know it any more it is registered again. The
   * client that `work` gets ends with the signal, as does the wait for it.
   */
  async use<T>(work: (client: AcmeClient) => Promise<T>, signal: AbortSignal): Promise<T> {
    const withAccount = async () => (await orAborted(this.client(), signal)).withSignal(signal);
    const client = await withAccount();
    try {
      return await work(client);
    } catch (error) {
      if (!(error instanceof AcmeError) || !ACCOUNT_PROBLEMS.includes(error.type)) throw error;
      this.#client = undefined;
      const loaded = await this.#load();
      // Another process may have given the account another key, or made another one.
      const isSame = client.keyAuthorization("") === `.${thumbprint(loaded.key)}` &&
        client.accountUrl === loaded.registration?.uri;
      if (isSame && error.type !== "accountDoesNotExist") throw error;
      if (isSame) await this.#register(client, loaded);
      return work(await withAccount());
    }
  }

  /** RFC 8555 7.3.5. The new key is on disk before the CA is asked to take it. */
  async rollOver(): Promise<void> {
    const client = await this.client();
    const account = await this.#load();
    const nextKey = newAccountKey();
    await this.#save({ ...account, nextKey });
    await client.keyChange(nextKey);
    await this.#save({ ...account, key: nextKey, nextKey: undefined });
  }

  /** RFC 8555 7.3.6: for good; the next certificate takes a new account. */
  async deactivate(): Promise<void> {
    const client = await this.client();
    const account = await this.#load();
    await client.deactivateAccount();
    await this.#save({ ...account, key: newAccountKey(), registration: undefined });
    this.#client = undefined;
  }

  async #open(): Promise<AcmeClient> {
    const account = await this.#load();
    const { directory, email, progress } = this.#options;
    progress("directory", { url: directory });
    const url = account.registration?.uri;
    let client = this.#newClient(account.key, url);
    if (account.nextKey !== undefined) client = await this.#endRollOver(client, account);
    else if (url === undefined) return this.#register(client, account);
    if (account.email !== email && email !== "") {
      await client.updateAccount([`mailto:${email}`]);
      await this.#save({ ...await this.#load(), email });
    }
    progress("account", { url: client.accountUrl ?? "" });
    return client;
  }

  #newClient(key: KeyObject, accountUrl?: string): AcmeClient {
    const { directory, http } = this.#options;
    return new AcmeClient({ directory, http, key, accountUrl });
  }

  /** After a crash in a roll-over: whichever key the CA knows is the account's. */
  async #endRollOver(old: AcmeClient, account: StoredAccount): Promise<AcmeClient> {
    const client = this.#newClient(account.nextKey ?? account.key);
    try {
      await client.newAccount({ onlyReturnExisting: true });
      await this.#save({ ...account, key: account.nextKey ?? account.key, nextKey: undefined });
      return client;
    } catch (error) {
      if (!(error instanceof AcmeError) || error.type !== "accountDoesNotExist") throw error;
      await this.#save({ ...account, nextKey: undefined });
      return old;
    }
  }

  async #register(client: AcmeClient, account: StoredAccount): Promise<AcmeClient> {
    const { email, progress } = this.#options;
    const contact = email === "" ? [] : [`mailto:${email}`];
    const externalAccount = await this.#binding(client);
    const { url, body } = await client.newAccount({ contact, externalAccount });
    await this.#save({ ...account, email, registration: { body, uri: url } });
    progress("account registered", { url });
    return client;
  }

  async #binding(client: AcmeClient): Promise<ExternalAccount | undefined> {
    const { externalAccount, email, http } = this.#options;
    if (externalAccount !== undefined || this.host !== ZEROSSL || email === "") {
      return externalAccount;
    }
    const { meta } = await client.getDirectory();
    if (!meta.externalAccountRequired) return undefined;
    const answer = await http({
      method: "POST",
      url: ZEROSSL_BINDING,
      fields: ["Content-Type", "application/x-www-form-urlencoded"],
      body: new URLSearchParams({ email }).toString(),
    });
    const { eab_kid: kid, eab_hmac_key: hmac } = Object(JSON.parse(answer.body.toString()));
    if (typeof kid === "string" && typeof hmac === "string") return { kid, hmac };
    throw new Error(`ZeroSSL gave no binding for the e-mail address: status ${answer.status}`);
  }

  /** The stored account, or a new one whose key is on disk now. */
  async #load(): Promise<StoredAccount> {
    const { account: store, directory, email } = this.#options;
    return await store.load() ?? store.exclusively(async () => {
      const account = { directory, email, key: newAccountKey() };
      return await store.load() ?? this.#save(account).then(() => account);
    });
  }

  #save(account: StoredAccount): Promise<void> {
    return this.#options.account.save(account);
  }
}

/** P-256, which every CA takes. */
const newAccountKey = (): KeyObject =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
