// The app's shell on iOS: a label, the screen kept on, and what the core (native/app) asks of the system.
// Never built or run by this project: see docs/ios-app.md.

#import <Metal/Metal.h>
#import <UIKit/UIKit.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../app/app.h"

enum { STACK_BYTES = 8 << 20 };  // as a main thread has elsewhere; other threads have 512 KiB here

static int word_count;
static char **launch_words;
static UILabel *label;  // for the main thread
// UIDevice is for the main thread, which keeps these up to date: the core's threads never wait for it.
static _Atomic double battery_level = -1;
static atomic_int charging = -1;
static atomic_int away, times_away;  // behind other apps, or on a locked phone

static void note_battery(void) {
  UIDevice *device = UIDevice.currentDevice;
  UIDeviceBatteryState state = device.batteryState;
  atomic_store(&battery_level, device.batteryLevel);  // -1: unknown, to UIKit too
  atomic_store(&charging, state == UIDeviceBatteryStateUnknown ? -1 : state != UIDeviceBatteryStateUnplugged);
}

static void state_of(void *context, AppState *state) {
  NSProcessInfo *process = NSProcessInfo.processInfo;
  state->low_power_mode = process.isLowPowerModeEnabled;
  switch (process.thermalState) {
    case NSProcessInfoThermalStateNominal: state->thermal_state = THERMAL_NOMINAL; break;
    case NSProcessInfoThermalStateFair: state->thermal_state = THERMAL_FAIR; break;
    case NSProcessInfoThermalStateSerious: state->thermal_state = THERMAL_SERIOUS; break;
    case NSProcessInfoThermalStateCritical: state->thermal_state = THERMAL_CRITICAL; break;
  }
  state->battery_level = atomic_load(&battery_level);
  state->charging = atomic_load(&charging);
  state->away = atomic_load(&away);
  state->times_away = atomic_load(&times_away);
}

static void tell(void *context, const char *words) {
  NSString *text = @(words);
  dispatch_async(dispatch_get_main_queue(), ^{ label.text = text; });
}

static const char *kept(NSString *text) { return text == nil ? NULL : strdup(text.UTF8String); }

static const char *of_info(NSString *key) {
  id value = [NSBundle.mainBundle objectForInfoDictionaryKey:key];
  return [value isKindOfClass:NSString.class] && [value length] > 0 ? kept(value) : NULL;
}

static void start_core(void) {
  static AppShell shell;
  NSString *frameworks = NSBundle.mainBundle.privateFrameworksPath;
  NSString *library = [frameworks stringByAppendingPathComponent:@"libLiteRt.dylib"];
  NSArray<NSString *> *documents = NSSearchPathForDirectoriesInDomains(NSDocumentDirectory, NSUserDomainMask, YES);
  shell = (AppShell){.documents = kept(documents.firstObject),
                     .library = kept(library),
                     .accelerators = kept(frameworks),
                     .runtime_version = of_info(@"LiteRTVersion"),
                     .bundle = of_info(@"CFBundleIdentifier"),
                     .version = of_info(@"CFBundleShortVersionString"),
                     .build = of_info(@"CFBundleVersion"),
                     .program = kept(NSBundle.mainBundle.executablePath),
                     .system_name = kept(UIDevice.currentDevice.systemName),
                     .system_version = kept(UIDevice.currentDevice.systemVersion),
                     .metal_device = kept(MTLCreateSystemDefaultDevice().name),
                     .state = state_of,
                     .tell = tell};
  NSThread *core = [[NSThread alloc] initWithBlock:^{
    // No teardown: a driver that crashes while it unloads must not undo what is done.
    _exit(app_run(&shell, word_count, launch_words));
  }];
  core.stackSize = STACK_BYTES;
  core.qualityOfService = NSQualityOfServiceUserInteractive;  // else iOS may give it the slow cores
  [core start];
}

@interface SceneDelegate : UIResponder <UIWindowSceneDelegate>
@property(nonatomic, strong) UIWindow *window;
@end

@implementation SceneDelegate

- (void)scene:(UIScene *)scene
    willConnectToSession:(UISceneSession *)session
                 options:(UISceneConnectionOptions *)options {
  UIViewController *controller = [[UIViewController alloc] init];
  controller.view.backgroundColor = UIColor.systemBackgroundColor;
  label = [[UILabel alloc] initWithFrame:CGRectInset(controller.view.bounds, 24, 24)];
  label.autoresizingMask = UIViewAutoresizingFlexibleWidth | UIViewAutoresizingFlexibleHeight;
  label.numberOfLines = 0;
  label.textAlignment = NSTextAlignmentCenter;
  label.text = @"starts";
  [controller.view addSubview:label];
  self.window = [[UIWindow alloc] initWithWindowScene:(UIWindowScene *)scene];
  self.window.rootViewController = controller;
  [self.window makeKeyAndVisible];
}

- (void)sceneDidBecomeActive:(UIScene *)scene {
  atomic_store(&away, 0);
  UIApplication.sharedApplication.idleTimerDisabled = YES;  // a dark screen suspends the app
  static dispatch_once_t once;
  dispatch_once(&once, ^{ start_core(); });  // not before: iOS gives the GPU to active apps only
}

- (void)sceneDidEnterBackground:(UIScene *)scene {
  atomic_store(&away, 1);
  atomic_fetch_add(&times_away, 1);
}

@end

@interface AppDelegate : UIResponder <UIApplicationDelegate>
@end

@implementation AppDelegate

- (BOOL)application:(UIApplication *)application didFinishLaunchingWithOptions:(NSDictionary *)options {
  UIDevice.currentDevice.batteryMonitoringEnabled = YES;
  note_battery();
  NSArray *names = @[ UIDeviceBatteryLevelDidChangeNotification, UIDeviceBatteryStateDidChangeNotification ];
  for (NSNotificationName name in names) {
    [NSNotificationCenter.defaultCenter addObserverForName:name
                                                    object:nil
                                                     queue:NSOperationQueue.mainQueue
                                                usingBlock:^(NSNotification *note) { note_battery(); }];
  }
  return YES;
}

@end

int main(int count, char **words) {
  word_count = count;
  launch_words = words;
  @autoreleasepool {
    return UIApplicationMain(count, words, nil, NSStringFromClass(AppDelegate.class));
  }
}
