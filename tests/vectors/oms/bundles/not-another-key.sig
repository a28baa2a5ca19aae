{
 "dsseEnvelope": {
  "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJwcmVkaWNhdGUiOnsicmVzb3VyY2VzIjpbeyJhbGdvcml0aG0iOiJzaGEyNTYiLCJkaWdlc3QiOiJjYTNkMTYzYmFiMDU1MzgxODI3MjI2MTQwNTY4ZjNiZWY3ZWFhYzE4N2NlYmQ3Njg3OGUwYjYzZTllNDQyMzU2IiwibmFtZSI6ImNvbmZpZy5qc29uIn0seyJhbGdvcml0aG0iOiJzaGEyNTYiLCJkaWdlc3QiOiJlM2IwYzQ0Mjk4ZmMxYzE0OWFmYmY0Yzg5OTZmYjkyNDI3YWU0MWU0NjQ5YjkzNGNhNDk1OTkxYjc4NTJiODU1IiwibmFtZSI6IndlaWdodHMtYi5iaW4ifSx7ImFsZ29yaXRobSI6InNoYTI1NiIsImRpZ2VzdCI6ImZkZWFiOWFjZjM3MTAzNjJiZDI2NThjZGM5YTI5ZThmOWM3NTdmY2Y5ODExNjAzYThjNDQ3Y2QxZDkxNTExMDgiLCJuYW1lIjoid2VpZ2h0cy9hLmJpbiJ9XSwic2VyaWFsaXphdGlvbiI6eyJhbGxvd19zeW1saW5rcyI6ZmFsc2UsImhhc2hfdHlwZSI6InNoYTI1NiIsImlnbm9yZV9wYXRocyI6WyJtb2RlbC5zaWciXSwibWV0aG9kIjoiZmlsZXMifX0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic2hhMjU2IjoiYmEwY2QyNWQ4N2UwYTJhN2I0NjZhNDhhOTRmNzhiODdlYWI2MjRlZWIwYjc2MGFlY2IwZjljNWI2ODRjMzY2YSJ9LCJuYW1lIjoibW9kZWwifV19",
  "payloadType": "application/vnd.in-toto+json",
  "signatures": [
   {
    "keyid": "",
    "sig": "MEQCIA8D7uyhxbrLzjJJWf9vpl7gFD6EbkNRzuSxrHIOyIq/AiBzWtKAF1MtooHGN5clzrk471xCKu4AeibMhX8PK406fg=="
   }
  ]
 },
 "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
 "verificationMaterial": {
  "publicKey": {
   "hint": "0000000000000000000000000000000000000000000000000000000000000000"
  },
  "tlogEntries": []
 }
}
