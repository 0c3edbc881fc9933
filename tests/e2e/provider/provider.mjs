// A real OpenID provider on loopback that signs one person in without asking: node provider.mjs PERSON REDIRECT_URI
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [person, redirectUri] = process.argv.slice(2);
const entry = join(process.env.E2E_NODE_MODULES, "oidc-provider/lib/index.js");
const { Provider } = await import(pathToFileURL(entry));

const listener = createServer();
await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
const { port } = listener.address();

const account = (id) => ({
  accountId: id,
  claims: () => ({ sub: id, email: `${id}@harbour.example`, email_verified: true, name: id }),
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: "safeconduct",
    client_secret: "a secret between the provider and the portal",
    redirect_uris: [redirectUri],
    grant_types: ["authorization_code"],
    response_types: ["code"],
  }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["only for a test"] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_ctx, id) => account(id),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
});

// The person says yes to everything, and is asked for a button so that a browser test has one to press.
const consent = async (details) => {
  const grant = new provider.Grant({ accountId: details.session?.accountId ?? person, clientId: details.params.client_id });
  grant.addOIDCScope(details.params.scope);
  return { consent: { grantId: await grant.save() } };
};

const callback = provider.callback();
listener.on("request", async (req, res) => {
  if (!req.url.startsWith("/interaction/")) return callback(req, res);
  try {
    const details = await provider.interactionDetails(req, res);
    if (req.method === "GET") {
      res.setHeader("content-type", "text/html; charset=utf-8");
      return res.end(`<!doctype html><html lang="en"><title>Provider</title><link rel="icon" href="data:,"><h1>Harbour sign-in</h1>
        <form method="post"><button id="yes">I am ${person} (${details.prompt.name})</button></form></html>`);
    }
    const result = details.prompt.name === "login" ? { login: { accountId: person, amr: ["pwd"] } } : await consent(details);
    await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
  } catch (error) {
    console.error(error);
    res.statusCode = 500;
    res.end("the interaction failed");
  }
});

console.log(`listening ${port}`);
