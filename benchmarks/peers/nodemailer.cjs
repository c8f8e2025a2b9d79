// The same size of letter with nodemailer's pool: node nodemailer.cjs PORT LETTERS BYTES
const nodemailer = require("nodemailer");
const [port, letters, bytes] = process.argv.slice(2).map(Number);
const transport = nodemailer.createTransport({
  pool: true, maxConnections: 5, maxMessages: Infinity, host: "127.0.0.1", port,
  secure: false, ignoreTLS: true,
});
const text = "the harbour library is the only warm, quiet and free room for miles\n"
  .repeat(Math.round(bytes / 2 / 68));
const all = Array.from({ length: letters }, (_, number) => transport.sendMail({
  from: "Friends of the Library <letters@friends.example>",
  to: `Person Number ${number} <p${number}@x.example>`,
  subject: `Person Number ${number}, your library in Hull`,
  text: `Dear Ms Number ${number},\n\n${text}`,
  html: `<p>Dear Ms Number ${number},</p><p>${text}</p>`,
}));
Promise.all(all).then(() => transport.close(), (fault) => { console.error(fault); process.exit(1); });
