#include "fleet/keys.h"

#include <crypt.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "fleet/bus.h"
#include "fleet/desired.h"
#include "fleet/nkey.h"
#include "fleet/report.h"
#include "fleet/tenant_use.h"
#include "fleet/turns.h"
#include "gateway/certificate.h"

namespace noroshi::fleet {
namespace {

using gateway::add_extension;
using gateway::Certificate;
using gateway::draft_certificate;
using gateway::new_private_key;
using gateway::openssl_error;
using gateway::PrivateKey;
using gateway::year_s;

constexpr int removed_keys_max = 10'000;  // of a name

struct CloseFile {
  void operator()(FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<FILE, CloseFile>;

Result<File> create(const std::string& path, mode_t mode) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  FILE* file = fd >= 0 ? fdopen(fd, "w") : nullptr;
  if (file == nullptr) return Error{path + ": cannot be written: " + std::strerror(errno)};
  return File(file);
}

Result<void> write_key(EVP_PKEY* key, const std::string& path) {
  Result<File> file = create(path, 0600);
  if (!file) return file.error();
  if (PEM_write_PrivateKey(file->get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      std::fflush(file->get()) != 0) {
    return openssl_error(path + " cannot be written");
  }
  return {};
}

Result<void> write_certificate(X509* certificate, const std::string& path) {
  Result<File> file = create(path, 0644);
  if (!file) return file.error();
  if (PEM_write_X509(file->get(), certificate) != 1 || std::fflush(file->get()) != 0) {
    return openssl_error(path + " cannot be written");
  }
  return {};
}

struct Authority {
  PrivateKey key;
  Certificate certificate;
};

Result<Authority> new_authority(const std::string& ca_path, const std::string& key_path) {
  Result<PrivateKey> key = new_private_key();
  if (!key) return key.error();
  Result<Certificate> drafted =
      draft_certificate(key->get(), "Noroshi fleet", nullptr, 10 * year_s);
  if (!drafted) return drafted.error();
  X509* certificate = drafted->get();
  if (!add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE") ||
      !add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      X509_sign(certificate, key->get(), EVP_sha256()) == 0) {
    return openssl_error("certificate of the authority");
  }
  if (const auto written = write_key(key->get(), key_path); !written) return written.error();
  if (const auto written = write_certificate(certificate, ca_path); !written) {
    return written.error();
  }
  return Authority{*std::move(key), *std::move(drafted)};
}

Result<Authority> read_authority(const std::string& ca_path, const std::string& key_path) {
  const File ca(std::fopen(ca_path.c_str(), "re"));
  const File key(std::fopen(key_path.c_str(), "re"));
  if (!ca || !key) {
    return Error{(ca ? key_path : ca_path) + ": cannot be read: " + std::strerror(errno)};
  }
  Authority out{PrivateKey(PEM_read_PrivateKey(key.get(), nullptr, nullptr, nullptr)),
                Certificate(PEM_read_X509(ca.get(), nullptr, nullptr, nullptr))};
  if (!out.key || !out.certificate) return openssl_error(ca_path + " or " + key_path);
  return out;
}

bool is_address(const std::string& host) {
  return host.find(':') != std::string::npos ||
         host.find_first_not_of("0123456789.") == std::string::npos;
}

Result<void> new_server(const Authority& authority, const CertificateFiles& files,
                        const std::vector<std::string>& hosts) {
  Result<PrivateKey> key = new_private_key();
  if (!key) return key.error();
  X509* issuer = authority.certificate.get();
  Result<Certificate> drafted =
      draft_certificate(key->get(), "Noroshi NATS server", issuer, 2 * year_s);
  if (!drafted) return drafted.error();
  std::string names;
  for (const std::string& host : hosts) {
    const bool sound = !host.empty() && std::ranges::all_of(host, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '.' || c == '-' || c == ':';
    });
    if (!sound) return Error{"host '" + host + "' is neither a name nor an address"};
    names += (names.empty() ? "" : ",") + std::string(is_address(host) ? "IP:" : "DNS:") + host;
  }
  X509* certificate = drafted->get();
  if (!add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth,clientAuth") ||
      !add_extension(certificate, issuer, NID_subject_alt_name, names) ||
      X509_sign(certificate, authority.key.get(), EVP_sha256()) == 0) {
    return openssl_error("certificate of the server for " + names);
  }
  if (auto written = write_key(key->get(), files.key); !written) return written;
  return write_certificate(certificate, files.certificate);
}

std::string hexadecimal(const std::array<unsigned char, 32>& bytes) {
  std::string out;
  for (const unsigned char byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

// What JetStream's client calls are, for one bucket or stream: one message at a time. The server
// answers with it wrapped, so that to whatever subject the answer is sent (nobody checks that), it
// is nobody's command there.
std::vector<std::string> read_stream(const std::string& stream) {
  return {"$JS.API.STREAM.INFO." + stream, "$JS.API.STREAM.MSG.GET." + stream};
}

// A consumer hands out what is in the stream as it is, on any subject that its maker names, with
// the server's rights. So nobody has this of a stream that he can write into.
std::vector<std::string> watch_stream(const std::string& stream) {
  std::vector<std::string> subjects = read_stream(stream);
  subjects.insert(subjects.end(),
                  {"$JS.API.CONSUMER.CREATE." + stream, "$JS.API.CONSUMER.CREATE." + stream + ".>",
                   "$JS.API.CONSUMER.DELETE." + stream + ".>", "$JS.FC." + stream + ".>"});
  return subjects;
}

}  // namespace

Result<std::string> new_session_secret() {
  std::array<unsigned char, 32> bytes{};
  if (RAND_priv_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    return openssl_error("session secret");
  }
  return hexadecimal(bytes);
}

bool may_be_region(std::string_view word) {
  constexpr std::string_view ours[] = {"context", "control", "digest", "file",  "fleet",
                                       "object",  "pulse",   "quotas", "turns", "usage"};
  return is_word(word) && std::ranges::find(ours, word) == std::end(ours);
}

std::string inbox_of(const std::string& role, const std::string& public_key) {
  return "_INBOX." + role + "." + public_key;
}

NatsUser control_user(const std::string& name, const std::string& public_key) {
  return {.name = "control " + name,
          .public_key = public_key,
          .publish = {"noroshi.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "_INBOX.>"},
          .subscribe = {"noroshi.>", inbox_of("control", public_key) + ".>"}};
}

NatsUser site_user(const std::string& region, const std::string& site,
                   const std::string& public_key) {
  const std::string bucket = region_bucket(region);
  std::vector<std::string> publish = read_stream("KV_" + bucket);
  publish.push_back("noroshi." + region + "." + site + ".>");
  publish.push_back("$KV." + bucket + ".facts." + site);
  publish.push_back("noroshi.file.*");
  // Contexts of sessions: asked of any site, which answers who knows the session's name, and sealed
  // under that name in the store.
  publish.insert(publish.end(),
                 {"noroshi.context.>", "noroshi.object." + std::string(session_store) + ".>"});
  const std::string objects = "OBJECTS_" + std::string(session_store);
  const std::vector<std::string> read_objects = read_stream(objects);
  publish.insert(publish.end(), read_objects.begin(), read_objects.end());
  publish.push_back("$JS.API.STREAM.PURGE." + objects);
  // Answers, to sites alone. Not the server's allow_responses: whoever hears his own asks gives
  // himself the right to any subject by naming it as the one to answer on.
  publish.push_back("_INBOX.site.>");
  return {.name = "site " + region + "." + site,
          .public_key = public_key,
          .publish = std::move(publish),
          .subscribe = {"noroshi." + region + "." + site + ".>", beat_subject("*", site),
                        "noroshi.file.*", "noroshi.context." + region + "." + site,
                        inbox_of("site", public_key) + ".>"}};
}

NatsUser gateway_user(const std::string& name, const std::string& region,
                      const std::string& public_key) {
  std::vector<std::string> publish = watch_stream("KV_" + std::string(fleet_bucket));
  publish.insert(publish.end(), {"noroshi.pulse." + name, "noroshi.usage.>", turns_subject(name),
                                 turns_subject(name, "*"), quotas_subject(name)});
  return {.name = "gateway " + name,
          .public_key = public_key,
          .publish = std::move(publish),
          .subscribe = {"noroshi." + region + ".*.beat", "noroshi.digest.*",
                        "noroshi.pulse." + name, turns_subject("*"), turns_subject("*", name),
                        quotas_subject("*"), inbox_of("gateway", public_key) + ".>"}};
}

NatsUser meter_user(const std::string& name, const std::string& public_key) {
  return {.name = "meter " + name,
          .public_key = public_key,
          .publish = {"$JS.API.STREAM.CREATE.USAGE", "$JS.API.STREAM.UPDATE.USAGE",
                      "$JS.API.STREAM.INFO.USAGE", "$JS.API.CONSUMER.CREATE.USAGE",
                      "$JS.API.CONSUMER.CREATE.USAGE.>", "$JS.API.CONSUMER.DURABLE.CREATE.USAGE.>",
                      "$JS.API.CONSUMER.INFO.USAGE.>", "$JS.API.CONSUMER.MSG.NEXT.USAGE.>",
                      "$JS.ACK.USAGE.>"},
          .subscribe = {inbox_of("meter", public_key) + ".>"}};
}

Result<LeafLogin> leaf_login(const std::string& nkey_seed_path) {
  const Result<Nkey> key = read_nkey(nkey_seed_path);
  if (!key) return key.error();
  const std::string text = "noroshi leaf " + key->seed;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  return LeafLogin{.user = key->public_key, .password = hexadecimal(hash)};
}

Result<std::string> leaf_verifier(const LeafLogin& login) {
  // The least cost: the password is 256 bits of chance, which nobody guesses.
  std::array<char, CRYPT_GENSALT_OUTPUT_SIZE> salt{};
  crypt_data data{};
  const char* made =
      crypt_gensalt_rn("$2b$", 4, nullptr, 0, salt.data(), static_cast<int>(salt.size()));
  const char* hash = made == nullptr ? nullptr : crypt_r(login.password.c_str(), made, &data);
  if (hash == nullptr || hash[0] != '$') {
    return Error{std::string("bcrypt: ") + std::strerror(errno)};
  }
  return std::string(hash);
}

NatsUser admin_user(const std::string& name, const std::string& public_key) {
  return {.name = "admin " + name,
          .public_key = public_key,
          .publish = {"noroshi.control.command", "noroshi.control.status"},
          .subscribe = {inbox_of("admin", public_key) + ".>"}};
}

Result<CertificateFiles> make_certificates(const std::string& folder,
                                           const std::vector<std::string>& hosts) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Error{folder + ": cannot be made: " + error.message()};
  const CertificateFiles files{.ca = folder + "/ca.pem",
                               .certificate = folder + "/server.pem",
                               .key = folder + "/server.key"};
  const std::string ca_key = folder + "/ca.key";
  if (std::filesystem::exists(files.certificate) && std::filesystem::exists(files.key) &&
      std::filesystem::exists(files.ca)) {
    return files;
  }
  if (hosts.empty()) return Error{"certificate: no host that the server is reached under"};
  const Result<Authority> authority = std::filesystem::exists(files.ca)
                                          ? read_authority(files.ca, ca_key)
                                          : new_authority(files.ca, ca_key);
  if (!authority) return authority.error();
  if (const auto made = new_server(*authority, files, hosts); !made) return made.error();
  return files;
}

Result<NkeyFile> make_nkey(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name + ".nk";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Error{folder + ": cannot be made: " + error.message()};
  if (std::filesystem::exists(path)) {
    const Result<Nkey> key = read_nkey(path);
    if (!key) return key.error();
    return NkeyFile{path, key->public_key};
  }
  const Result<Nkey> key = nkey_new();
  if (!key) return key.error();
  if (const auto written = write_nkey(*key, path); !written) return written.error();
  return NkeyFile{path, key->public_key};
}

Result<std::string> set_nkey_aside(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name + ".nk";
  for (int n = 1; n <= removed_keys_max; ++n) {
    const std::string aside = path + ".removed-" + std::to_string(n);
    // A link: unlike a rename it takes nobody's place.
    if (link(path.c_str(), aside.c_str()) != 0) {
      if (errno == EEXIST) continue;
      if (errno == ENOENT) return std::string();
      return Error{path + ": cannot be set aside as " + aside + ": " + std::strerror(errno)};
    }
    if (unlink(path.c_str()) == 0) return aside;
    const Error error{path + ": cannot be removed: " + std::strerror(errno)};
    unlink(aside.c_str());
    return error;
  }
  return Error{path + ": there are " + std::to_string(removed_keys_max) +
               " removed keys of this name already: clear them away (" + name + ".nk.removed-*)"};
}

}  // namespace noroshi::fleet
