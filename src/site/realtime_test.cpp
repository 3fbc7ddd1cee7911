// Catches: a site that stops, or loses slots in silence, where the system refuses it real-time
// scheduling; a warning that is repeated, or that does not say the way out.

#include "site/realtime.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "site/site.h"

namespace noroshi::site {
namespace {

// An ordinary user without any allowance. For the rest of this process.
bool drop_privileges() {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_RTPRIO, &none) != 0 || setrlimit(RLIMIT_MEMLOCK, &none) != 0) return false;
  constexpr uid_t nobody = 65534;
  return geteuid() != 0 || setresuid(nobody, nobody, nobody) == 0;
}

SiteConfig one_handset() {
  SiteConfig config;
  config.cells[0].carrier = nr::make_carrier(30, 5).value();
  config.cells[0].pattern = nr::make_duplex_pattern("DDDSU", 30).value();
  config.cells[0].channels.emplace_back().rnti = 100;
  config.cells[0].mac.handsets.emplace_back().rnti = 100;
  return config;
}

// The site's report as text: slots done or counted as lost, then the warnings.
std::string run_refused() {
  if (!drop_privileges()) return "privileges could not be dropped";
  SiteConfig config = one_handset();
  config.keep_awake = true;
  SiteOptions options;
  options.duration_s = 0.1;
  auto site = Site::make(std::move(config), options);
  if (!site) return site.error().message;
  if (Result<void> run = site->run(); !run) return run.error().message;
  const CellCounters& c = site->counters(0);
  const bool all = c.slots.load() + c.lost_slots.load() >= 200 && c.payload_mismatches.load() == 0;
  std::string text = all ? "every slot\n" : "slots are missing\n";
  for (const std::string& warning : site->warnings()) text += warning + "\n";
  return text;
}

// In a process of its own, which cannot have its privileges back.
std::string run_refused_in_child() {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    const std::string text = run_refused();
    const bool written = write(ends[1], text.data(), text.size()) >= 0;
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char bytes[4096];
  for (ssize_t n = 0; (n = read(ends[0], bytes, sizeof bytes)) > 0;)
    text.append(bytes, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return text;
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(Realtime, ASiteWithoutPermissionsWarnsOnceAndGoesOn) {
  const std::string text = run_refused_in_child();
  SCOPED_TRACE(text);
  EXPECT_EQ(text.find("every slot\n"), 0u);
  for (const char* part : {"no permission for SCHED_FIFO", "LimitRTPRIO=99",
                           "cannot keep the processors awake", "radio.keep_awake"}) {
    EXPECT_EQ(count(text, part), 1) << part;
  }
// Sanitizers answer mlockall by themselves, and never refuse it.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  for (const char* part : {"cannot lock memory", "ulimit -l"}) {
    EXPECT_EQ(count(text, part), 1) << part;
  }
#endif
}

TEST(Realtime, ProcessorListsAreAsLinuxWritesThem) {
  EXPECT_EQ(parse_processor_list("0-3,8\n").value(), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_processor_list("5").value(), std::vector<int>{5});
  EXPECT_TRUE(parse_processor_list("\n").value().empty());
  for (const char* wrong :
       {"x", "0-", "3-1", "-1", "0,", "0,,1", "1,0", "0-2,2", "0 1", "99999", "0-99999"}) {
    EXPECT_FALSE(parse_processor_list(wrong).ok()) << wrong;
  }
}

TEST(Realtime, ZeroPriorityAsksForNothing) { EXPECT_EQ(set_fifo_priority(0), ""); }

}  // namespace
}  // namespace noroshi::site
