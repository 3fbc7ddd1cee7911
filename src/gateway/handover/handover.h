#pragma once

// A session moves from one site to another, and its context with it: the cheaper of two ways.
//
//   moving       = save + bytes / bandwidth + round trips + restore      bytes = tokens x bytes a
//   token recomputing  = tokens / prompt rate
//
// llama-server writes the context of one of its slots to a file and reads it back (POST
// /slots/N?action=save or restore, with --slot-save-path); the file goes through a blob store that
// the caller gives: a folder, or the fleet's object store. Only engines with the same model file
// understand each other's contexts: the caller sees to that.
//
// "Slot" here is llama-server's word for a sequence that it has in memory. It does not say which
// slot a request got, but /slots shows each slot's last seed: a turn's seed is drawn by the gateway
// and is the turn's name (turns.h). Calls block for as long as the files take: for a thread that
// serves nobody.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::gateway {

// What is known of one pair of sites. 0: not measured yet.
struct HandoverCosts {
  double bytes_per_token = 0;
  double save_bytes_per_s = 0;  // with the engine's own work
  double restore_bytes_per_s = 0;
  double bandwidth_bytes_per_s = 0;  // from site to site, through the store
  double round_trip_s = 0;
  double prompt_tokens_per_s = 0;  // of the site that would recompute
};

double moving_s(const HandoverCosts& costs, int tokens);
double recomputing_s(const HandoverCosts& costs, int tokens);
bool measured(const HandoverCosts& costs);
// False while anything is not measured: recomputing is always right.
bool moving_pays(const HandoverCosts& costs, int tokens);
// How long a request waits for its context, after which it is computed; 0: it is not to be moved.
// A quarter of recomputing, which is what a move that fails, or one to learn from, may cost a
// request; where moving is known to pay though it takes longer, half as long again as it should
// take, and never longer than recomputing.
double patience_s(const HandoverCosts& costs, int tokens);

// Where contexts are on their way. Errors name the blob and what failed.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  virtual Result<void> put(const std::string& name, const std::string& path) = 0;
  virtual Result<void> get(const std::string& name, const std::string& path) = 0;
  virtual Result<void> remove(const std::string& name) = 0;
};

class FolderStore : public BlobStore {
 public:
  explicit FolderStore(std::string folder) : folder_(std::move(folder)) {}
  Result<void> put(const std::string& name, const std::string& path) override;
  Result<void> get(const std::string& name, const std::string& path) override;
  Result<void> remove(const std::string& name) override;

 private:
  std::string folder_;
};

// One slot of one llama-server.
struct SlotPlace {
  std::string host = "127.0.0.1";
  int tcp_port = 0;
  std::string api_key = {};
  int slot = 0;
  std::string save_folder = {};  // its --slot-save-path
  double timeout_s = 30;         // of each call
};

// What /slots says of one.
struct EngineSlot {
  int id = 0;
  bool busy = false;
  std::optional<std::uint32_t> seed = {};  // of its last request; nothing: it had none
  std::int64_t task = -1;                  // grows from request to request of the server
  int tokens = 0;                          // that it holds
};
// Errors name the field that is not llama-server's.
Result<std::vector<EngineSlot>> parse_slots(std::string_view json);
Result<std::vector<EngineSlot>> read_slots(const SlotPlace& place);

struct Moved {
  int tokens = 0;
  std::uint64_t bytes = 0;
  double save_s = 0;
  double transfer_s = 0;  // into the store and out of it
  double restore_s = 0;
};

// Saves the slot into the store, or takes what was saved out of it into the slot: half of a move
// each. name: of the blob, letters, digits, '-' and '_', at most 60. The copies on the sites' disks
// are removed, whatever happens. Errors say which step failed and why; the slot at the old site is
// as it was, and the session goes on by recomputing.
Result<Moved> send_slot(const SlotPlace& from, BlobStore& store, const std::string& name);
// tokens: that were saved.
Result<Moved> receive_slot(const SlotPlace& to, BlobStore& store, const std::string& name,
                           int tokens);
// Both; the blob is removed too, whatever happens.
Result<Moved> move_slot(const SlotPlace& from, const SlotPlace& to, BlobStore& store,
                        const std::string& name);

// What a move teaches: the newest counts a quarter.
void learn(HandoverCosts& costs, const Moved& moved);

}  // namespace noroshi::gateway
